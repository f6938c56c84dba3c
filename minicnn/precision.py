"""How exactly products of float32 are computed."""

from minicnn.checks import check_choice

PRECISIONS: tuple[str, ...] = ("highest", "high", "medium")

_chosen = {"precision": "highest"}


def set_float32_precision(precision: str) -> None:
    """Choose how exactly convolutions and dense layers multiply float32 numbers, as in PyTorch.

    Sums are float32 throughout, and so is what layers hand on; weights, gradients and optimizers are not touched. It
    holds for every model from its next batch on, in this process. Where the processor gains nothing by it, all three
    compute in float32. A GPU's tensor cores round to TF32 with "medium", errors of 1e-3; "high" is as "highest", or on
    Hopper by halves: numbers far below others of their pixel or filter lose digits, one being 2^-39 of the largest.
    Models of float64 are not concerned; "mixed_bfloat16" is a policy, see `minicnn.keras.mixed_precision`.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        "highest": float32, the default. "high": each factor may be taken as a sum of two bfloat16, of whose products
        the three largest count: errors of 1e-5 of the largest result. "medium": each factor may be rounded to bfloat16:
        errors of 5e-3.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    _chosen["precision"] = check_choice("precision", precision, PRECISIONS)


def get_float32_precision() -> str:
    """What `set_float32_precision` chose: "highest", "high" or "medium".

    Backends ask in every call: ``PRECISIONS.index(get_float32_precision())`` suits as a key of what they remember.
    """
    return _chosen["precision"]
