"""The table of operations that files of Keras may hold, against a list of all that Keras 3.15 has."""

import ast
from pathlib import Path

import pytest

from minicnn.saving.keras.operation_steps import RECIPES  # which has imported all modules that note some
from minicnn.saving.keras.operation_table import BY_CLASS, NEEDED
from minicnn.saving.keras.written_operations import WRITERS, Writing

LINES = (Path(__file__).parent / "keras_operations.txt").read_text(encoding="utf-8").splitlines()[1:]
KERAS = {line.split()[1]: [part.strip() for part in line.split("|")] for line in LINES}

ABSENT = {
    "code, which no file holds": "AssociativeScan Cond ForiLoop Function JVP Map Scan Switch VectorizedMap WhileLoop",
    "several results of one call": "Eig Eigh Histogram LuFactor Lstsq Meshgrid Moments Nonzero Qr SVD Slogdet Unique "
    "UnravelIndex Dsplit Hsplit Vsplit",
    "numbers that no sample is in": "Arange Full Geomspace Linspace Logspace Ndim Size",
    "all samples at once": "AllClose BatchNorm Bincount PSNR Scatter ScatterUpdate SegmentMax SegmentMin SegmentProd "
    "SegmentReduction SegmentSum Vander",
    "complex numbers": "Conj Conjugate FFT FFT2 IFFT2 IRFFT ISTFT Imag Polar RFFT Real STFT ViewAsComplex ViewAsReal",
    "of sequences and sound": "CTCDecode CTCLoss ExtractSequences",
    "dtypes or places that a model's tensors do not have": "Array ConvertToTensor EmptyLike View",
    "layers that do it, with kernels that are theirs": "AdaptiveAveragePool AdaptiveMaxPool Conv ConvTranspose "
    "DepthwiseConv DotProductAttention SeparableConv",
    "pictures: of arrays, in tf.image, keras.ops.image and augmentation": "AffineTransform ElasticTransform "
    "ExtractPatches Fold GaussianBlur HSVToRGB MapCoordinates PadImages PerspectiveTransform RGBToHSV SSIM "
    "ScaleAndTranslate SobelEdges Unfold",
    "arguments of another form": "CholeskyInverse Rearrange Select Slice SliceUpdate SolveTriangular",
}
"""Why an operation is not in the table → these operations."""


def test_each_operation_of_keras_is_in_the_table_or_has_a_reason_not_to_be():
    absent = [name for names in ABSENT.values() for name in names.split()]
    assert len(absent) == len(set(absent))
    assert set(absent) == KERAS.keys() - BY_CLASS.keys()
    assert BY_CLASS.keys() <= KERAS.keys()


@pytest.mark.parametrize("name", [name for name, row in BY_CLASS.items() if row.apart != "recipe"])
def test_the_table_has_the_arguments_that_keras_has(name):
    """What is read by recipes alone has them there."""
    row, (place, taken, made, function) = BY_CLASS[name], KERAS[name]
    assert f"{row.module} {name}" == place
    assert row.takes == tuple(part.partition("=")[0] for part in taken.split(", ") if part)
    options = [part.partition("=") for part in made.split(", ") if part and name != "Rot90"]
    assert name == "Rot90" or row.options == {n: ast.literal_eval(v) if given else NEEDED for n, given, v in options}
    listed, _, arguments = function.removesuffix(")").partition("(")
    if name not in ("Abs", "LayerNorm", "Rot90"):  # Keras's absolute; without rms_scaling; a tuple in it
        assert (row.name, row.order) == (listed, tuple(part.partition("=")[0] for part in arguments.split(", ")))


def test_recipes_and_writers_are_of_operations_in_the_table():
    assert RECIPES.keys() - BY_CLASS.keys() == {"Mish"}  # of keras.activations, where the list does not look
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": "float32", "keras_history": []}}
    for function in ("abs", "ceil", "cos", "expm1", "floor", "log", "log1p", "nan", "positive", "round", "tan", "zero"):
        writing = Writing(lambda: "step", {"function": function}, [tensor])
        assert WRITERS["Elementary"](writing) is not None
