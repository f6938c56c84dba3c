"""What a model was compiled with, in files and from them, and what a class of one's own says of it itself."""

from __future__ import annotations

from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any

from minicnn import optimizers
from minicnn.models.written_metrics import metrics_from, plain_metrics
from minicnn.own_parts import is_of_package
from minicnn.registry import to_plain
from minicnn.saving.keras.compiled import names_no_optimizer
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minicnn.models.model import Model
    from minicnn.saving.snapshot import Reader
    from minicnn.training.compiled import Compiled


_OF_THE_MACHINE = ("backend", "run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")


def compile_config(compiled: Compiled) -> dict[str, Any]:
    """What `compile` was told, as plain data."""
    if compiled.optimizer.spares_weights:
        warn_user(
            "no file holds which weights exclude_from_weight_decay spares: after load_model, compile with a new "
            "optimizer and call it again"
        )
    weighted = [list(plain_metrics(wanted)) for wanted in compiled.weighted_metrics]
    return {
        "optimizer": to_plain(compiled.optimizer),
        "loss": [to_plain(loss) for loss in compiled.losses],
        "loss_weights": list(compiled.loss_weights),
        "metrics": [list(plain_metrics(wanted)) for wanted in compiled.metrics],
    } | ({"weighted_metrics": weighted} if any(weighted) else {})


def compiles_itself(model: Model) -> bool:
    """Whether a user's class says by `get_compile_config` or `compile_from_config` how its models are compiled."""
    return bool(getattr(model, "has_own_compile_config", False))


def own_compile_config(model: Model) -> dict[str, Any] | None:
    """What such a class says of a model, as plain data; None of other models."""
    return model.compile_config_for_files() if compiles_itself(model) else None


def compile_as(model: Model, config: dict[str, Any]) -> None:
    """`compile` with what `compile_config` wrote."""
    one = len(config["loss"]) == 1
    advice = "a class of one's own is given with custom_objects=, and compile=False leaves all this out"
    with hint(ValueError, "Unknown", advice):
        own, weighted = (
            [list(metrics_from(wanted)) for wanted in config.get(key, [])] for key in ("metrics", "weighted_metrics")
        )
        model.compile(
            optimizer=optimizers.get(config["optimizer"]),
            loss=config["loss"][0] if one else config["loss"],
            metrics=own[0] if one else own,
            loss_weights=config.get("loss_weights"),
            weighted_metrics=weighted[0] if one and weighted else weighted,
        )


def is_compiled(model: Model, file: Reader) -> bool:
    """Compile a model as a file says; False, with a warning, if the file has what is not known here.

    A class that compiles itself is told what the file has of that, and what goes wrong then is an error.
    """
    own = file.training.get("compile_config", file.compile_config)
    if own and compiles_itself(model):
        model.compile_from_config(own)
        if model.compiled is not None and not _names_optimizer(file):
            file.compile = compile_config(model.compiled)
        return model.compiled is not None
    try:
        if file.compile is None:
            return False
        compile_as(model, file.compile)
        _warn_of_further_arguments(type(model).compile)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        warn_user(f"the model is read without what it was compiled with: {error}. Compile it to train it further")
        model.compiled = None
        return False
    return True


def _names_optimizer(file):
    """Whether a file, whose words are a user's own, says which optimizer it has the state of."""
    try:
        return file.compile is not None and not names_no_optimizer(file.compile_config)
    except (LookupError, TypeError, ValueError):
        return False


def _warn_of_further_arguments(compile):
    """Warn of what a user's `compile` takes beside what files hold of it."""
    known = ("self", "optimizer", "loss", "metrics", "loss_weights", "weighted_metrics", *_OF_THE_MACHINE)
    parameters = [] if is_of_package(compile) else signature(compile).parameters.values()
    further = [p.name for p in parameters if p.name not in known and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if further:
        warn_user(
            "files hold the optimizer, losses and metrics that a model was compiled with, and not what its own compile "
            f"takes besides, {', '.join(further)}: compile it again, or let the class have get_compile_config, which "
            "returns all of it as plain data, and compile_from_config(config)"
        )


@contextmanager
def hint(kind: type[Exception], beginning: str, advice: str) -> Iterator[None]:
    """Inside, an error of that kind whose text has that beginning says what to do about it."""
    try:
        yield
    except kind as error:
        if beginning not in str(error):
            raise
        raise kind(f"{error}; {advice}") from None
