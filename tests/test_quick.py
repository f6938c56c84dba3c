"""`pytest -m quick` leaves out no part without a reason."""

import ast
from pathlib import Path

import pytest
from quick import NOT_QUICK, SLOW, is_quick

FILES = {path.stem: path for path in Path(__file__).parent.glob("test_*.py")}
IMPORTANT = (
    *("architecture", "augmentation", "callbacks", "data", "errors", "functional", "gradients", "images"),
    *("keras_behaviour", "keras_room", "layer_contracts", "losses", "metrics", "model_api", "numba_kernels", "onnx"),
    *(
        "onnx_import",
        "optimizers",
        "own_parts",
        "package",
        "plan",
        "pool",
        "random",
        "saving",
        "training",
        "visualization",
    ),
)


def functions(path):
    """The names of a file's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}


@pytest.mark.parametrize("part", IMPORTANT)
def test_every_part_is_represented(part):
    file = f"test_{part}"
    assert file not in NOT_QUICK
    quick = [name for name in functions(FILES[file]) if is_quick(file, name, "x-0-numpy-y", False)]
    assert len(quick) >= len(functions(FILES[file])) / 2


def test_what_is_left_out_exists():
    assert NOT_QUICK.keys() <= FILES.keys()
    assert {name for path in FILES.values() for name in functions(path)} >= SLOW


def test_of_the_contracts_those_on_the_reference_are_quick(request):
    assert request.node.get_closest_marker("quick")
    case = "test_layer_contracts", "test_contract_on_a_backend"
    assert is_quick(*case, "Dense-0-numpy]", False)
    assert not is_quick(*case, "Dense-0-numba]", False)
    assert not is_quick(*case, "Dense-0-numpy]", True)
    assert not is_quick("test_hostile_files", "test_harness_notices", "", False)
