"""The one product on tiles: a block of 2 x 2 tiles of sums that walks a table of steps.

A tile product multiplies 16 x 32 numbers by 32 x 16 (the latter as 16 rows of 16 *pairs*: two neighbouring k of one
column lie side by side) and adds to 16 x 16 sums in float32. Where the next left and the next right tile lie is a
matter of tables, and so is the precision: a float32 is the exact sum of three bfloat16 of 8 bits each, x0 + x1 + x2;
x · y is x0·y0 (one piece), + x0·y1 + x1·y0 (two), + x1·y1 + x0·y2 + x2·y0 (three), so a more exact product is the same
walk with three or six times the steps. (Henry, Tang and Heinecke: "Leveraging the bfloat16 Artificial Intelligence
Datatype for Higher-Precision Computations", 2019.)

Rows of a left tile may be any distance apart: pixels are, so windows are never copied. A tile of fewer than 16 rows
takes as many cycles as it has rows.

Kernels call all of it through symbols, so they are the same machine code on tiles and emulated.
"""

from typing import Any, NamedTuple

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import c_function
from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.backends.numba.tiles import emulation
from minicnn.backends.numba.tiles.dots import emit_walk
from minicnn.backends.numba.tiles.emulation import SIDE
from minicnn.backends.numba.tiles.path import EMULATED, NONE, TILES, VECTORS, path
from minicnn.backends.numba.tiles.primitives import SYMBOL, Emulation, Instructions

TILE = 512  # bfloat16 numbers of a tile
DEPTH = 32  # k of a tile; sums have `SIDE` rows and columns
PRODUCTS = {  # of the pieces of left and right, by how many pieces there are
    1: ((0, 0),),
    2: ((0, 0), (0, 1), (1, 0)),
    3: ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)),
}


class LeftTiles(NamedTuple):
    """Left tiles of a block, in elements of bfloat16 (uint16)."""

    array: np.ndarray
    start: int
    down: int  # from the upper tile to the lower one
    row: int  # from row to row


class RightTiles(NamedTuple):
    """Right tiles of a block: rows of 32 numbers without gaps."""

    array: np.ndarray
    start: int
    beside: int  # from the left one to the right one


class Steps(NamedTuple):
    """What to add to the places of the tiles, in turn."""

    table: np.ndarray  # (steps · 2,) int64: for the left ones, for the right ones
    first: int
    last: int


class Sums(NamedTuple):
    """Tiles of float32: where sums start, or where they go. The right one is 16 elements further."""

    array: np.ndarray
    start: int
    down: int
    row: int


class Area(NamedTuple):
    """How many tiles a block has, 1 or 2 each."""

    height: int
    width: int


# ------------------------------------------------------------------------------------------------- the block


def _types():
    """Argument types of `multiply_tiles` as machine code of its own."""
    halves, floats, word = (types.CPointer(t) for t in (types.uint16, types.float32, types.int64))
    index = types.int64
    return (
        types.CPointer(types.uint8),
        types.NamedTuple((halves, index, index, index), LeftTiles),
        types.NamedTuple((halves, index, index), RightTiles),
        types.NamedTuple((word, index, index), Steps),
        types.NamedTuple((floats, index, index, index), Sums),
        types.NamedTuple((floats, index, index, index), Sums),
        types.NamedUniTuple(index, 2, Area),
    )


def _walk_with(primitives):
    """The block as an intrinsic that uses these primitives."""

    @intrinsic
    def walk(typingctx, registers, left, right, steps, first, out, area):
        def emit(context, builder, signature, args):
            emitter = Emitter(context, builder, out)
            registers, *operands = emitter.plain(signature.args, args)
            tiles = primitives(builder, registers)
            for height in (1, 2):
                for width in (1, 2):
                    is_it = builder.and_(
                        builder.icmp_signed("==", operands[-1].height, emitter.index(height)),
                        builder.icmp_signed("==", operands[-1].width, emitter.index(width)),
                    )
                    with builder.if_then(is_it):
                        _emit_walk(emitter, tiles, operands, height, width)
            return context.get_dummy_value()

        return types.void(registers, left, right, steps, first, out, area), emit

    return walk


def _emit_walk(emit, tiles, operands, height, width):
    """Sums are registers 0 to 3, left tiles 4 and 5, right ones 6 and 7."""
    left, right, steps, first, out, _ = operands
    builder, (left_row, right_row) = emit.builder, (_bytes(emit, left.row, 2), emit.index(64))
    sums = [(i, j, 2 * i + j) for i in range(height) for j in range(width)]

    def place(tiles, i, j):
        down = builder.mul(tiles.down, emit.index(i))
        return emit.moved(tiles.array, tiles.start, down, emit.index(SIDE * j))

    for i, j, register in sums:
        tiles.load(register, place(first, i, j), _bytes(emit, first.row, 4))
    with cgutils.for_range(builder, steps.last, start=steps.first) as loop:
        at = builder.mul(loop.index, emit.index(2))
        left_step, right_step = emit.entry(steps.table, at, 0), emit.entry(steps.table, at, 1)
        for i in range(height):
            down = builder.mul(left.down, emit.index(i))
            tiles.load(4 + i, emit.moved(left.array, left.start, left_step, down), left_row)
        for j in range(width):
            beside = builder.mul(right.beside, emit.index(j))
            tiles.load(6 + j, emit.moved(right.array, right.start, right_step, beside), right_row)
        for i, j, register in sums:
            tiles.dot(register, 4 + i, 6 + j)
    for i, j, register in sums:
        tiles.store(register, place(out, i, j), _bytes(emit, out.row, 4))


def _bytes(emit, elements, size):
    return emit.builder.mul(elements, emit.index(size))


def _primitive_with(primitives, name):
    """`configure` or `release` as an intrinsic."""

    @intrinsic
    def primitive(typingctx, registers):
        def emit(context, builder, signature, args):
            getattr(primitives(builder, args[0]), name)()
            return context.get_dummy_value()

        return types.void(registers), emit

    return primitive


@intrinsic
def _walk_dots(typingctx, registers, left, right, steps, first, out, area):
    def emit(context, builder, signature, args):
        registers, *operands = Emitter(context, builder, out).plain(signature.args, args)
        emit_walk(context, builder, out, registers, operands)
        return context.get_dummy_value()

    return types.void(registers, left, right, steps, first, out, area), emit


_walk_tiles, _walk_emulated = _walk_with(Instructions), _walk_with(Emulation)
_configure_tiles, _release_tiles = (_primitive_with(Instructions, name) for name in ("configure", "release"))
_configure_emulated, _release_emulated = (_primitive_with(Emulation, name) for name in ("configure", "release"))


def _multiply_on_tiles(registers, left, right, steps, first, out, area):
    _walk_tiles(registers, left, right, steps, first, out, area)


def _multiply_emulated(registers, left, right, steps, first, out, area):
    _walk_emulated(registers, left, right, steps, first, out, area)


def _multiply_by_dots(registers, left, right, steps, first, out, area):
    _walk_dots(registers, left, right, steps, first, out, area)


def _configure_on_tiles(registers):
    _configure_tiles(registers)


def _release_on_tiles(registers):
    _release_tiles(registers)


def _configure_in_memory(registers):
    _configure_emulated(registers)


def _release_in_memory(registers):
    _release_emulated(registers)


def _nothing(registers):
    """Vectors need no configuration."""


_CODE = {  # symbol → path → function
    "minicnn_multiply_tiles": {TILES: _multiply_on_tiles, EMULATED: _multiply_emulated, VECTORS: _multiply_by_dots},
    "minicnn_configure_tiles": {TILES: _configure_on_tiles, EMULATED: _configure_in_memory, VECTORS: _nothing},
    "minicnn_release_tiles": {TILES: _release_on_tiles, EMULATED: _release_in_memory, VECTORS: _nothing},
}


def compiled(way: str) -> dict[str, object]:
    """The machine code behind each symbol, as a `path` computes it; nothing is run."""
    if way == EMULATED:
        for name, code in emulation.compiled().items():
            llvmlite.binding.add_symbol(SYMBOL.format(name), code.address)
    kinds = {symbol: _types() if "multiply" in symbol else _types()[:1] for symbol in _CODE}
    return {symbol: c_function(functions[way], *kinds[symbol]) for symbol, functions in _CODE.items()}


class _TileCode:
    """A symbol for `uses`, as a `SharedCode`: the same for all element types.

    Parameters
    ----------
    name : str
    """

    _codes = None  # of this process's path, once they are wanted

    def __init__(self, name: str):
        self._name = name

    def symbol(self, scalar: types.Type) -> str:
        """The name that kernels call."""
        return self._name

    def provide(self, scalar: types.Type) -> None:
        """Have the machine code of all symbols in memory, and their names known to the linker."""
        if _TileCode._codes is None:
            codes = compiled(EMULATED if path() == NONE else path())  # never an instruction that was not permitted
            for symbol, code in codes.items():
                llvmlite.binding.add_symbol(symbol, code.address)
            _TileCode._codes = codes


TILES_CODE: tuple[_TileCode, ...] = tuple(map(_TileCode, _CODE))
"""What kernels on tiles use."""


# ------------------------------------------------------------------------------------------- what kernels call


@intrinsic
def multiply_tiles(typingctx, registers, left, right, steps, first, out, area):
    """out = first + sum over steps of left tile · right tile, for a block of tiles.

    Parameters
    ----------
    registers : 1-D uint8 array
        A task's memory for `configure`, `REGISTERS_SIZE` bytes; configured.
    left, right, steps : LeftTiles, RightTiles, Steps
    first, out : Sums
        They may be the same, or `first` a row of numbers for all rows: of a bias.
    area : Area
    """
    return types.void(registers, left, right, steps, first, out, area), _emit_multiply


def _emit_multiply(context, builder, signature, args):
    emit_multiply(context, builder, *Emitter(context, builder, signature.args[4]).plain(signature.args, args))
    return context.get_dummy_value()


def emit_multiply(context: Any, builder: Any, registers: Any, *operands: tuple[Any, ...]) -> None:
    """Emit `multiply_tiles`, of tuples of pointers and numbers: loops over blocks compile sooner as LLVM's."""
    tuples = [context.make_tuple(builder, *pair) for pair in zip(_types()[1:], operands, strict=True)]
    _emit_call(builder, "minicnn_multiply_tiles", [registers, *tuples])


def _emit_call(builder, symbol, values):
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol), values)


@intrinsic
def release(typingctx, registers):
    """Empty this thread's registers: before a task returns."""
    return types.void(registers), lambda *args: _emit_primitive("minicnn_release_tiles", *args)


def _emit_primitive(symbol, context, builder, signature, args):
    _emit_call(builder, symbol, [context.make_array(signature.args[0])(context, builder, args[0]).data])
    return context.get_dummy_value()


@intrinsic
def configure(typingctx, registers, rows):
    """Load this thread's configuration: sums and left tiles of so many rows, right ones of 16."""
    return types.void(registers, types.int64), _emit_configure


def _emit_configure(context, builder, signature, args):
    memory, byte = context.make_array(signature.args[0])(context, builder, args[0]).data, ir.IntType(8)
    cgutils.memset(builder, memory, ir.Constant(ir.IntType(64), 64), 0)
    own = {0: byte(1)}  # the only palette
    own.update({16 + 2 * tile: byte(64) for tile in range(8)})  # bytes of a row
    own.update({48 + tile: builder.trunc(args[1], byte) if tile < 6 else byte(SIDE) for tile in range(8)})
    for place, value in own.items():
        builder.store(value, builder.gep(memory, [ir.IntType(64)(place)]))
    return _emit_primitive("minicnn_configure_tiles", context, builder, signature, args)
