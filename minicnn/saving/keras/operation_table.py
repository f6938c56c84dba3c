"""The operations of ``keras.ops``, as Keras 3 names them in files: one table, for reading and for writing.

To add one, add its row: what `minicnn.keras` calls by name is written and read by that. Where layers of the core do
the same, a recipe makes these of it (`axis_recipes`, `number_recipes`, `part_recipes`), and `written_operations` writes
them.
"""

from __future__ import annotations

import ast
from typing import Any, NamedTuple


class Function(NamedTuple):
    """A function of ``keras.ops``.

    Attributes
    ----------
    apart : str
        How samples stay apart in it, which says whether it is called by its name where no recipe takes what a file has:
        "each" number by number; "along" axes that are said, and not that of samples, or the "last" one; in "matrices",
        the last two axes; by the "letters" of its first argument. "recipe": by recipes alone; "written": what goes over
        all samples as well, and is not read.
    module, class_name : str
        Where Keras has its operation.
    name : str
    takes : tuple of str
        What the operation is called with; what begins with a star, as many as there are.
    options : dict
        What it is made with → the default, `NEEDED` for none.
    order : tuple of str
        The function's arguments.
    empty : tuple of str
        What it is called with, and may be None.
    """

    apart: str
    module: str
    class_name: str
    name: str
    takes: tuple[str, ...]
    options: dict[str, Any]
    order: tuple[str, ...]
    empty: tuple[str, ...]


NEEDED = object()

NOT_FLOATS = (
    *("Argmax", "Argmin", "Argpartition", "Argsort", "Nanargmax", "Nanargmin", "Digitize", "SearchSorted"),
    *("All", "Any", "CountNonzero", "Equal", "Greater", "GreaterEqual", "InTopK", "IsIn", "Isclose", "Isfinite"),
    *("Isinf", "Isnan", "Isneginf", "Isposinf", "Isreal", "Less", "LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr"),
    *("LogicalXor", "MatrixRank", "NotEqual", "Signbit"),
)
"""What gives whole numbers or bools in Keras, and numbers like all others here."""

ROWS = """
each     numpy Abs abs(x)
each     numpy Absolute absolute(x)
each     numpy Fabs fabs(x)
each     numpy Angle angle(x)
each     numpy Arccos arccos(x)
each     numpy Arccosh arccosh(x)
each     numpy Arcsin arcsin(x)
each     numpy Arcsinh arcsinh(x)
each     numpy Arctan arctan(x)
each     numpy Arctan2 arctan2(x1, x2)
each     numpy Arctanh arctanh(x)
each     numpy Heaviside heaviside(x1, x2)
each     numpy Cbrt cbrt(x)
each     numpy Ceil ceil(x)
each     numpy Copy copy(x)
each     numpy Cos cos(x)
each     numpy Cosh cosh(x)
each     numpy Deg2rad deg2rad(x)
each     numpy Rad2deg rad2deg(x)
each     numpy DivideNoNan divide_no_nan(x1, x2)
each     math Erf erf(x)
each     math Erfc erfc(x)
each     math Erfinv erfinv(x)
each     numpy Exp exp(x)
each     numpy Exp2 exp2(x)
each     numpy Expm1 expm1(x)
each     numpy Floor floor(x)
each     numpy FloorDivide floor_divide(x1, x2)
each     numpy Mod mod(x1, x2)
each     numpy Fmax fmax(x1, x2)
each     numpy Fmin fmin(x1, x2)
each     numpy Fmod fmod(x1, x2)
each     numpy Hypot hypot(x1, x2)
each     numpy I0 i0(x)
each     numpy Isclose isclose(x1, x2, rtol, atol; equal_nan=False)
each     numpy Isfinite isfinite(x)
each     numpy Isinf isinf(x)
each     numpy Isnan isnan(x)
each     numpy Isneginf isneginf(x)
each     numpy Isposinf isposinf(x)
each     numpy Isreal isreal(x)
each     numpy Ldexp ldexp(x1, x2)
each     numpy Log log(x)
each     numpy Log10 log10(x)
each     numpy Log1p log1p(x)
each     numpy Log2 log2(x)
each     numpy Logaddexp logaddexp(x1, x2)
each     numpy Logaddexp2 logaddexp2(x1, x2)
each     numpy LogicalAnd logical_and(x1, x2)
each     numpy LogicalOr logical_or(x1, x2)
each     numpy LogicalNot logical_not(x)
each     numpy LogicalXor logical_xor(x1, x2)
each     numpy Nextafter nextafter(x1, x2)
each     numpy Power power(x1, x2)
each     numpy Round round(x; decimals=0)
each     numpy Sign sign(x)
each     numpy Signbit signbit(x)
each     numpy Sin sin(x)
each     numpy Sinc sinc(x)
each     numpy Sinh sinh(x)
each     numpy Sqrt sqrt(x)
each     numpy Square square(x)
each     nn Celu celu(x; alpha=1.0)
each     nn Threshold threshold(x; threshold, default_value)
each     nn HardShrink hard_shrink(x; threshold=0.5)
each     nn SoftShrink soft_shrink(x; threshold=0.5)
each     nn Squareplus squareplus(x; b=4)
each     numpy Tan tan(x)
each     numpy Tanh tanh(x)
each     numpy Trunc trunc(x)
each     math Rsqrt rsqrt(x)
each     numpy Reciprocal reciprocal(x)
each     numpy Negative negative(x)
each     nn Relu relu(x)
each     nn Relu6 relu6(x)
each     nn Sigmoid sigmoid(x)
each     nn SparseSigmoid sparse_sigmoid(x)
each     nn Softplus softplus(x)
each     nn Softsign softsign(x)
each     nn SparsePlus sparse_plus(x)
each     nn Silu silu(x)
each     nn LogSigmoid log_sigmoid(x)
each     nn LeakyRelu leaky_relu(x; negative_slope=0.2)
each     nn HardSigmoid hard_sigmoid(x)
each     nn HardSilu hard_silu(x)
each     nn Elu elu(x; alpha=1.0)
each     nn Selu selu(x)
each     nn Gelu gelu(x; approximate=True)
each     nn TanhShrink tanh_shrink(x)
each     nn HardTanh hard_tanh(x)
each     numpy NanToNum nan_to_num(x; nan=0.0, posinf=None, neginf=None)
each     numpy Add add(x1, x2)
each     numpy Subtract subtract(x1, x2)
each     numpy Multiply multiply(x1, x2)
each     numpy Divide divide(x1, x2)
each     numpy TrueDivide true_divide(x1, x2)
each     numpy Maximum maximum(x1, x2)
each     numpy Minimum minimum(x1, x2)
each     numpy Greater greater(x1, x2)
each     numpy GreaterEqual greater_equal(x1, x2)
each     numpy Less less(x1, x2)
each     numpy LessEqual less_equal(x1, x2)
each     numpy Equal equal(x1, x2)
each     numpy NotEqual not_equal(x1, x2)
each     numpy Where where(condition, x1, x2)
each     numpy Digitize digitize(x, bins)
each     numpy Clip clip(x; x_min, x_max)
each     numpy OnesLike ones_like(x; dtype=None)
each     numpy ZerosLike zeros_like(x; dtype=None)
each     numpy FullLike full_like(x, fill_value; dtype=None)
along    numpy Argsort argsort(x; axis=-1)
along    numpy Argmax argmax(x; axis=None, keepdims=False)
along    numpy Argmin argmin(x; axis=None, keepdims=False)
along    numpy Average average(x; axis=None; weights)
along    numpy Cumprod cumprod(x; axis=None, dtype=None)
along    numpy Cumsum cumsum(x; axis=None, dtype=None)
along    numpy CountNonzero count_nonzero(x; axis=None)
along    numpy Any any(x; axis=None, keepdims=False)
along    numpy All all(x; axis=None, keepdims=False)
along    numpy Diff diff(a; n=1, axis=-1)
along    math Logsumexp logsumexp(x; axis=None, keepdims=False)
along    numpy Max max(x; axis=None, keepdims=False, initial=None)
along    numpy Min min(x; axis=None, keepdims=False, initial=None)
along    numpy Amax amax(x; axis=None, keepdims=False)
along    numpy Amin amin(x; axis=None, keepdims=False)
along    numpy Median median(x; axis=None, keepdims=False)
along    numpy Nanargmax nanargmax(x; axis=None, keepdims=False)
along    numpy Nanargmin nanargmin(x; axis=None, keepdims=False)
along    numpy Nancumsum nancumsum(x; axis=None, dtype=None)
along    numpy Nancumprod nancumprod(x; axis=None, dtype=None)
along    numpy Nanmax nanmax(x; axis=None, keepdims=False)
along    numpy Nanmean nanmean(x; axis=None, keepdims=False)
along    numpy Nanmedian nanmedian(x; axis=None, keepdims=False)
along    numpy Nanmin nanmin(x; axis=None, keepdims=False)
along    numpy Nanpercentile nanpercentile(x, q; axis=None, method='linear', keepdims=False)
along    numpy Nanprod nanprod(x; axis=None, keepdims=False)
along    numpy Nanquantile nanquantile(x, q; axis=None, method='linear', keepdims=False)
along    numpy Nanstd nanstd(x; axis=None, keepdims=False)
along    numpy Nansum nansum(x; axis=None, keepdims=False)
along    numpy Nanvar nanvar(x; axis=None, keepdims=False)
along    numpy Percentile percentile(x, q; axis=None, method='linear', keepdims=False)
along    numpy Quantile quantile(x, q; axis=None, method='linear', keepdims=False)
along    numpy Prod prod(x; axis=None, keepdims=False, dtype=None)
along    numpy Ptp ptp(x; axis=None, keepdims=False)
along    numpy Sort sort(x; axis=-1)
along    numpy Std std(x; axis=None, keepdims=False)
along    numpy Var var(x; axis=None, keepdims=False)
along    linalg Norm norm(x; ord=None, axis=None, keepdims=False)
along    nn Normalize normalize(x; axis=-1, order=2, epsilon=None)
along    numpy Roll roll(x; shift, axis=None)
along    numpy Flip flip(x; axis=None)
along    numpy Repeat repeat(x; repeats, axis=None)
along    nn Softmax softmax(x; axis=-1)
along    nn Sparsemax sparsemax(x; axis=-1)
along    nn LogSoftmax log_softmax(x; axis=-1)
along    numpy TakeAlongAxis take_along_axis(x, indices; axis=None)
along    numpy Trapezoid trapezoid(y; x=None, dx=1.0, axis=-1)
along    numpy Argpartition argpartition(x; kth, axis=-1)
along    nn Glu glu(x; axis=-1)
recipe   numpy Take take(x, indices; axis=None)
along    numpy Mean mean(x; axis=None, keepdims=False)
along    numpy Sum sum(x; axis=None, keepdims=False)
along    numpy Diagonal diagonal(x; offset=0, axis1=0, axis2=1)
along    numpy Trace trace(x; offset=0, axis1=0, axis2=1)
along    numpy Rot90 rot90(array; k=1, axes)
along    numpy Cross cross(x1, x2; axisa=-1, axisb=-1, axisc=-1, axis=None)
along    nn RMSNorm rms_normalization(x, scale=None; axis=-1, epsilon=None)
along    numpy Swapaxes swapaxes(x; axis1, axis2)
matrices linalg Det det(x)
matrices linalg Inv inv(x)
matrices linalg Cholesky cholesky(x; upper=False)
matrices math Logdet logdet(x)
matrices linalg Pinv pinv(x; rcond=None)
matrices linalg MatrixRank matrix_rank(x; tol=None)
matrices linalg Solve solve(a, b)
matrices numpy Triu triu(x; k=0)
matrices numpy Tril tril(x; k=0)
matrices numpy Matmul matmul(x1, x2)
letters  numpy Einsum einsum(; subscripts; *operands)
recipe   numpy GetItem get_item(x, key)
recipe   numpy Reshape reshape(x; newshape)
recipe   numpy Transpose transpose(x; axes=None)
recipe   numpy Concatenate concatenate(xs; axis=0)
recipe   numpy ExpandDims expand_dims(x; axis)
recipe   numpy Squeeze squeeze(x; axis=None)
recipe   numpy Split split(x; indices_or_sections, axis=0)
recipe   numpy ArraySplit array_split(x; indices_or_sections, axis=0)
recipe   core Unstack unstack(x; num=None, axis=0)
recipe   numpy Stack stack(x; axis=0)
recipe   numpy Tile tile(x; repeats)
recipe   numpy Moveaxis moveaxis(x; source, destination)
recipe   numpy Pad pad(x; pad_width, mode='constant'; constant_values)
recipe   numpy Tensordot tensordot(x1, x2; axes=2)
recipe   nn MaxPool max_pool(inputs; pool_size, strides=None, padding='valid', data_format=None)
recipe   nn AveragePool average_pool(inputs; pool_size, strides=None, padding='valid', data_format=None)
recipe   image Resize resize(images; size)
recipe   image CropImages crop_images(images)
recipe   image RGBToGrayscale rgb_to_grayscale(images)
recipe   core Cast cast(x; dtype)
recipe   nn OneHot one_hot(x; num_classes, axis=-1, dtype=None, sparse=False)
last     math TopK top_k(x; k, sorted=True)
written  numpy BroadcastTo broadcast_to(x; shape)
written  core SaturateCast saturate_cast(x; dtype)
written  numpy BitwiseAnd bitwise_and(x, y)
written  numpy BitwiseInvert bitwise_invert(x)
written  numpy BitwiseNot bitwise_not(x)
written  numpy BitwiseOr bitwise_or(x, y)
written  numpy BitwiseXor bitwise_xor(x, y)
written  numpy BitwiseLeftShift bitwise_left_shift(x, y)
written  numpy LeftShift left_shift(x, y)
written  numpy BitwiseRightShift bitwise_right_shift(x, y)
written  numpy RightShift right_shift(x, y)
written  numpy Gcd gcd(x1, x2)
written  numpy Lcm lcm(x1, x2)
written  numpy IsIn isin(x1, x2; assume_unique=False, invert=False)
written  numpy SearchSorted searchsorted(sorted_sequence, values; side='left')
written  numpy Fliplr fliplr(x)
written  numpy Flipud flipud(x)
written  numpy Hstack hstack(xs)
written  numpy Dstack dstack(xs)
written  numpy Vstack vstack(xs)
written  numpy Append append(x1, x2; axis=None)
written  numpy Inner inner(x1, x2)
written  numpy Outer outer(x1, x2)
written  numpy Kron kron(x1, x2)
written  numpy Dot dot(x1, x2)
written  numpy Vdot vdot(x1, x2)
written  numpy Corrcoef corrcoef(x)
written  numpy Correlate correlate(x1, x2; mode='valid')
written  numpy Ravel ravel(x)
each     core StopGradient stop_gradient(variable)
written  nn LayerNorm layer_normalization(x, gamma=None, beta=None; axis=-1, epsilon=None, rms_scaling=False)
written  nn DepthToSpace depth_to_space(x; block_size, data_format='channels_last')
written  nn SpaceToDepth space_to_depth(x; block_size, data_format='channels_last')
written  math CDist cdist(x, y)
written  nn BinaryCrossentropy binary_crossentropy(target, output; from_logits=False)
written  nn CategoricalCrossentropy categorical_crossentropy(target, output; from_logits=False, axis=-1)
written  nn SparseCategoricalCrossentropy sparse_categorical_crossentropy(target, output; from_logits=False, axis=-1)
written  nn MultiHot multi_hot(inputs; num_classes=None, axis=-1, dtype=None, sparse=False)
written  math InTopK in_top_k(targets, predictions; k)
written  numpy Diag diag(x; k=0)
written  numpy Diagflat diagflat(x; k=0)
"""
"""How samples stay apart, Keras's module, class, and the function: (what it is called with; what it is made with), and
behind another semicolon what it is called with, too, but stands behind that in the function."""


def _read(row: str) -> Function:
    apart, module, class_name, function = row.split(maxsplit=3)
    name, _, arguments = function.removesuffix(")").partition("(")
    first, options, last = (*arguments.split(";"), "", "")[:3]
    pairs = [part.partition("=") for part in _names(options)]
    made = {option: ast.literal_eval(default) if is_given else NEEDED for option, is_given, default in pairs}
    places = [part.removesuffix("=None") for part in _names(first)]
    empty = tuple(part for part in places if part not in _names(first))
    order = (*places, *made, *_names(last))
    return Function(apart, module, class_name, name, (*places, *_names(last)), made, order, empty)


def _names(listed: str) -> list[str]:
    return [part for part in listed.strip().split(", ") if part]


BY_CLASS: dict[str, Function] = {function.class_name: function for function in map(_read, ROWS.strip().splitlines())}
"""Keras's operation → the function."""

BY_NAME: dict[str, Function] = {function.name: function for function in BY_CLASS.values()}
"""Name in ``keras.ops`` → the function."""
