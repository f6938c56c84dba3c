"""Run ONNX's own cases of operators on minicnn and print what came of them: python tests/onnx_cases/run.py [operators]

A case is a small file with numbers that it takes and gives, from the package `onnx` (onnx.backend.test). Without
operators, those of all are run. The exit status is 1 if a case gives other numbers than ONNX says, or ends in an error
that is no refusal.
"""

import argparse
import re
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case import node

import minicnn as mc
from minicnn.errors import FileFormatError
from minicnn.onnx.importer import Importer
from minicnn.onnx.reader import read_graph

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
EQUAL, REFUSED, WRONG, OTHER = "equal", "refused", "wrong", "as onnxruntime"
SHOWN = 90  # characters of a reason
OF_FLOAT16 = "ONNX rounds every step to float16; of the numbers in float64, onnxruntime's and these are nearer"
OF_SCALES = "ONNX aligns corners by factor · size, PyTorch and onnxruntime by the integer below it"
AS_ONNXRUNTIME = {
    "test_attention_4d_causal_fp16_expanded": OF_FLOAT16,
    "test_resize_downsample_scales_cubic_align_corners": OF_SCALES,
    "test_resize_downsample_scales_linear_align_corners": OF_SCALES,
}
"""Case → why its numbers are onnxruntime's here, and not those that ONNX says; they have to be onnxruntime's."""


@dataclass
class Result:
    """What came of a case: a name, its operator, one of the outcomes above, and why."""

    case: str
    operator: str
    outcome: str
    reason: str = ""


def all_cases():
    """ONNX's cases of operators; NumPy warns of some of the numbers that they are made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return node.collect_testcases()


def operator_of(case):
    """The operator that a case is of; where it is written out in others, their outputs are called after it."""
    first = case.model.graph.node[0]
    written_out = re.match(r"([A-Za-z]+)_test_", first.output[0])
    return written_out[1] if written_out else first.op_type


# ------------------------------------------------------------------------------------------------------ forms of a case


def forms(case):
    """(which inputs are given, the others being arrays of the file) for each form of a case that is tried, by name.

    Samples are what minicnn's models take, so that sizes, axes and the like are arrays of the file.
    """
    inputs = [value.name for value in case.model.graph.input]
    floats = [v.name for v in case.model.graph.input if v.type.tensor_type.elem_type in FLOATS]
    given = {"all": inputs, "floats": floats, "first": floats[:1], "first input": inputs[:1], "none": []}
    return {form: names for n, (form, names) in enumerate(given.items()) if names not in [*given.values()][:n]}


def with_arrays(case, arrays, given):
    """The case's file, in which all inputs but the `given` ones are arrays; without any, their sum with a number."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    kept = [value for value in graph.input if value.name in given]
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items() if name not in given)
    del graph.input[:]
    graph.input.extend(kept)
    if not kept:
        graph.input.append(helper.make_tensor_value_info("number", TensorProto.FLOAT, [1, 1]))
        graph.initializer.append(numpy_helper.from_array(np.array([1, -1]), "row"))
        names = [value.name for value in graph.output]
        del graph.output[:]
        for name in names:
            graph.node.append(helper.make_node("Cast", [name], [f"{name} cast"], to=TensorProto.FLOAT))
            graph.node.append(helper.make_node("Reshape", [f"{name} cast", "row"], [f"{name} row"]))
            graph.node.append(helper.make_node("Add", ["number", f"{name} row"], [f"{name} sum"]))
            graph.output.append(helper.make_tensor_value_info(f"{name} sum", TensorProto.FLOAT, None))
    return model


def computed(path, arrays, given):
    """What minicnn's model of a file gives, a list of arrays."""
    model = mc.import_onnx(path)
    graph = read_graph(path)
    reading = Importer(graph)
    xs = [np.asarray(arrays[name], np.float32) for name in graph.inputs] if given else [np.zeros((1, 1), np.float32)]
    xs = [np.moveaxis(x, 1, -1) if reading.takes_images(name) else x for name, x in zip(graph.inputs, xs, strict=True)]
    if len({len(x) for x in xs}) > 1:
        raise FileFormatError("all inputs have as many samples")
    ys = model.predict(xs if len(xs) > 1 else xs[0], batch_size=len(xs[0]), verbose=0)
    return ys if isinstance(ys, list) else [ys]


def agrees(y, expected, case, given):
    """Whether an output has the case's numbers, to the case's own tolerance; images have their channels last."""
    expected = np.asarray(expected, np.float64)
    if not given:
        return np.allclose(y.reshape(-1), expected.reshape(-1), case.rtol, case.atol, equal_nan=True)
    orders = [expected, np.moveaxis(expected, 1, -1)] if expected.ndim > 2 else [expected]
    return any(
        y.shape == e.shape and np.allclose(y, e.astype(np.float32), case.rtol, case.atol, equal_nan=True)
        for e in orders
    )


# ------------------------------------------------------------------------------------------------------------- running


def run_form(case, given, path):
    """(outcome, reason) of a case of which the `given` inputs are the model's."""
    for inputs, outputs in case.data_sets:
        if not all(isinstance(a, np.ndarray | np.generic | TensorProto) for a in (*inputs, *outputs)):
            return REFUSED, "tensors hold numbers, not tensors or texts"
        inputs, expected = ([as_array(a) for a in arrays] for arrays in (inputs, outputs))
        arrays = dict(zip((value.name for value in case.model.graph.input), inputs, strict=True))
        try:
            onnx.save(with_arrays(case, arrays, given), path)
            with np.errstate(all="ignore"):
                ys = computed(path, arrays, given)
        except FileFormatError as error:
            return REFUSED, kind_of(str(error))
        except Exception as error:  # whatever else comes is a fault
            return WRONG, f"{type(error).__name__}: {error}"
        if case.name in AS_ONNXRUNTIME:
            expected = of_onnxruntime(case.model, arrays)
        for number, (y, wanted) in enumerate(zip(ys, expected, strict=True)):
            if not agrees(y, wanted, case, given):
                return WRONG, f"output {number}: {y.ravel()[:4]} for {np.ravel(wanted)[:4]}"
    return OTHER if case.name in AS_ONNXRUNTIME else EQUAL, AS_ONNXRUNTIME.get(case.name, "")


def of_onnxruntime(model, arrays):
    """What onnxruntime computes, without its warnings."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, arrays)


def as_array(given):
    """The numbers of an input or output; those of types that NumPy has not are held by a TensorProto."""
    return numpy_helper.to_array(given) if isinstance(given, TensorProto) else np.asarray(given)


def kind_of(message):
    """An error's sentence without what it is about: names, numbers and what was received."""
    sentence = re.sub(r"^.*?\.onnx'?:\s*|node ('.*?'|number \d+) \(\w+\): ", "", message).split(" Received:")[0]
    return re.sub(r"'.*?'|\(.*\)|-?\d+", "…", sentence).split(". Supported")[0].rstrip(". ")


def run_case(case, folder):
    """A `Result`: equal if one form is read at least, and all that are read are equal."""
    found = {}
    for form, given in forms(case).items():
        found[form] = outcome, reason = run_form(case, given, Path(folder, "case.onnx"))
        if outcome == WRONG:
            return Result(case.name, operator_of(case), WRONG, f"({form}) {reason}")
    for outcome, reason in found.values():
        if outcome != REFUSED:
            return Result(case.name, operator_of(case), outcome, reason)
    tried = [form for form in found if form != "none"] or ["none"]
    return Result(case.name, operator_of(case), REFUSED, found[tried[-1]][1])


def run(cases):
    """The results of cases, in their order."""
    with tempfile.TemporaryDirectory() as folder:
        return [run_case(case, folder) for case in cases]


# ------------------------------------------------------------------------------------------------------------- showing


def tables(results):
    """Lines: outcomes by operator, refusals by their reason, and what is wrong."""
    counts = defaultdict(Counter)
    for result in results:
        counts[result.operator][result.outcome] += 1
    total = Counter(result.outcome for result in results)
    lines = [f"{'operator':32}{'equal':>8}{'refused':>9}{'wrong':>7}{'other':>7}"]
    for operator, count in [*sorted(counts.items()), (f"{len(results)} cases", total)]:
        lines.append(f"{operator:32}{count[EQUAL]:8}{count[REFUSED]:9}{count[WRONG]:7}{count[OTHER]:7}")
    lines += ["", "refused, and why:"]
    reasons = defaultdict(Counter)
    for result in results:
        if result.outcome == REFUSED:
            reasons[result.reason][result.operator] += 1
    for reason, operators in sorted(reasons.items(), key=lambda entry: -entry[1].total()):
        most = ", ".join(f"{operator} {count}" for operator, count in operators.most_common(4))
        lines.append(f"{operators.total():6}  {shorten(reason, SHOWN, placeholder=' …')}: {most}")
    lines += ["", "with onnxruntime's numbers:"]
    lines += [f"  {result.case}: {result.reason}" for result in results if result.outcome == OTHER]
    lines += ["", "wrong:", *(f"  {r.case}: {r.reason}" for r in results if r.outcome == WRONG)]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("operators", nargs="*", help="operators whose cases are run")
    arguments = parser.parse_args()
    mc.set_backend("numpy")  # nothing has to be compiled
    cases = all_cases()
    if arguments.operators:
        cases = [case for case in cases if operator_of(case) in arguments.operators]
    results = run(cases)
    print(*tables(results), sep="\n")
    return any(result.outcome == WRONG for result in results)


if __name__ == "__main__":
    sys.exit(main())
