"""Damaged and hostile files, of every format, for a bounded time; ``python tests/hostile.py`` is the long version."""

import os
import signal

import numpy as np
import pytest

if os.name != "posix":
    pytest.skip("processor time and memory are limited in the way of Unix", allow_module_level=True)

import hostile

COUNT = 120  # files of each format
SECONDS = 15  # no more are tried after that


@pytest.mark.parametrize("name", hostile.FORMATS)
def test_damaged_files_are_refused_or_valid(name, seed):
    if not hostile.FORMATS[name].is_available():
        pytest.skip(f"{name} needs {', '.join(hostile.FORMATS[name].needs)}")
    outcomes, broken = hostile.try_format(name, COUNT, seed, seconds=SECONDS)
    assert broken == []
    assert outcomes["refused"] > 0


@pytest.fixture(scope="module")
def worker():
    worker = hostile.Worker("trial")
    yield worker
    worker.close()


def test_harness_lets_good_behaviour_pass(worker, tmp_path):
    for word, outcome in (("none", "read"), ("refuse", "refused")):
        (tmp_path / "file").write_text(word)
        assert worker.open(tmp_path / "file")["outcome"] == outcome


@pytest.mark.parametrize("word", hostile.MISBEHAVIOUR)
def test_harness_notices(word, tmp_path, monkeypatch):
    worker = hostile.Worker("trial", seconds=1 if word == "hang" else hostile.SECONDS)
    try:
        (tmp_path / "file").write_text(word)
        broken = worker.open(tmp_path / "file")["broken"]
    finally:
        worker.close()
    expected = {"hang": "more than 1 s", "crash": f"crash: {-signal.SIGABRT}", "raise": "KeyError", "look": "canary"}
    assert expected.get(word, {"run": "os.system"}.get(word, "memory" if "wrapped" in word else "")) in broken


def branches_that_read(names, count, path):
    """An ONNX file with an If whose branches read names of the graph outside again and again."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    outputs = {name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("y", "t", "e")}
    graphs = [
        helper.make_graph(
            [
                *(helper.make_node("Sum", [names(end, i, j) for j in range(99)], [f"{end}{i}"]) for i in range(count)),
                helper.make_node("Relu", ["x"], [end]),
            ],
            "branch",
            [],
            [outputs[end]],
        )
        for end in ("t", "e")
    ]
    node = helper.make_node("If", ["c"], ["y"], then_branch=graphs[0], else_branch=graphs[1])
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 4, 4])
    true = onnx.numpy_helper.from_array(np.array(True), "c")
    graph = helper.make_graph([node], "g", [x], [outputs["y"]], [true])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)


def test_branches_that_read_much_take_no_longer_than_other_nodes(tmp_path):
    branches_that_read(lambda *_: "x", 600, tmp_path / "one name.onnx")
    branches_that_read(lambda *numbers: "{}{}_{}".format(*numbers), 600, tmp_path / "many names.onnx")
    worker = hostile.Worker("onnx")
    try:
        results = [worker.open(tmp_path / f"{name}.onnx") for name in ("one name", "many names")]
    finally:
        worker.close()
    assert [result.get("broken", result.get("outcome")) for result in results] == ["read", "refused"]


@pytest.mark.parametrize(("old", "new", "outcome"), [(30_000, 29_999, "read"), (2, 2**21, "refused")])
def test_long_rows_that_are_resized_need_no_matrix(old, new, outcome, tmp_path):
    """How much of each of 30,000 pixels goes into each of 29,999 are seven gigabytes."""
    onnx = pytest.importorskip("onnx")
    sizes = onnx.numpy_helper.from_array(np.array([1, 1, 2, new]), "s")
    node = onnx.helper.make_node("Resize", ["x", "", "", "s"], ["y"], mode="linear")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", ["N", 1, 2, old]), ("y", None))
    ]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [sizes])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.save(model, tmp_path / "long.onnx")
    worker = hostile.Worker("onnx")
    try:
        result = worker.open(tmp_path / "long.onnx")
    finally:
        worker.close()
    assert result.get("broken", result.get("outcome")) == outcome
