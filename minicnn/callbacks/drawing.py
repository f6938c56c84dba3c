"""Pictures for web pages without any library: curves as SVG, arrays as PNG."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT, MARGIN = 310, 190, 50  # pixels of a panel, and beside its axes
TRAINING, VALIDATION = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion
DARK, LIGHT = np.array([68, 1, 84]), np.array([253, 231, 37])  # dark violet, through green, to yellow
MIDDLE = np.array([33, 145, 140])
PURPLE, WHITE, ORANGE = np.array([45, 0, 75]), np.array([247, 247, 247]), np.array([179, 88, 6])
Curve = Sequence[tuple[int, float]]


def curves(history: Mapping[str, Curve]) -> str:
    """A panel for each name that does not begin with "val_", training solid and validation dashed, as SVG.

    Parameters
    ----------
    history : dict
        Name → (epoch from 1 on, value) of each epoch.
    """
    names = list(dict.fromkeys(name.removeprefix("val_") for name in history))
    return "".join(_panel(name, history.get(name, ()), history.get(f"val_{name}", ())) for name in names)


def _panel(name, training, validation):
    """The curves of one name."""
    known = [(x, y) for x, y in (*training, *validation) if math.isfinite(y)]
    if not known:
        return ""
    last, low, high = max(x for x, _ in known), min(y for _, y in known), max(y for _, y in known)
    span = (high - low) or abs(high) or 1.0

    def place(x, y):
        across = MARGIN + (x - 1) / max(last - 1, 1) * (WIDTH - MARGIN - 12)
        return across, HEIGHT - 30 - (y - low) / span * (HEIGHT - 60)

    parts = [f'<text x="{MARGIN}" y="16" font-weight="bold">{escape(name)}</text>']
    for y in (low, high):
        parts.append(f'<text x="{MARGIN - 5}" y="{place(1, y)[1] + 4:.1f}" text-anchor="end">{_in_short(y)}</text>')
    parts.append(f'<text x="{WIDTH - 12}" y="{HEIGHT - 8}" text-anchor="end">epoch {last}</text>')
    frame = f'x="{MARGIN}" y="25" width="{WIDTH - MARGIN - 8}" height="{HEIGHT - 50}"'
    parts.append(f'<rect {frame} fill="none" stroke="currentColor" stroke-opacity=".3"/>')
    for curve, colour, dashes, label in (
        (training, TRAINING, "", "training"),
        (validation, VALIDATION, "6 4", "validation"),
    ):
        points = [place(x, y) for x, y in curve if math.isfinite(y)]
        if points:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
            parts.append(f'<polyline points="{line}" {style}/>')
            x, y = points[-1]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{label}</title></circle>')
    if training and validation:
        parts.append(f'<text x="{MARGIN}" y="{HEIGHT - 8}"><tspan fill="{TRAINING}">— training</tspan> ')
        parts.append(f'<tspan fill="{VALIDATION}">- - validation</tspan></text>')
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    text = f'font-family="sans-serif" font-size="11" fill="currentColor" role="img" aria-label="{escape(name)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><g {text}>{"".join(parts)}</g></svg>'


def _in_short(number):
    """Three digits, and a unit: 12345.6 is "12.3 k"; in the width of the margin."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size <= abs(number) < 1e12:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}" if 0.001 <= abs(number) < 1e3 else f"{number:.1e}" if number else "0"


def picture(values: np.ndarray, alt: str, signed: bool = False, side: int = 56) -> str:
    """An array as an HTML image, from its lowest to its highest value.

    Parameters
    ----------
    values : array (H, W) or (H, W, 3)
        Three channels are drawn as red, green and blue.
    alt : str
        What it shows.
    signed : bool
        Whether colours are around 0: purple, white, orange.
    side : int
        Its width on the page, in pixels.
    """
    values = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if signed:
        high = max(abs(low), abs(high))
        low = -high
    share = ((values - low) / ((high - low) or 1.0)).clip(0, 1)
    pixels = share * 255 if values.ndim == 3 else _coloured(share, signed)  # (H, W, 3)
    data = base64.b64encode(png(pixels.round().astype(np.uint8))).decode()
    title = f"{alt}: {low:.3g} … {high:.3g}"
    style = f'width="{side}" style="image-rendering:pixelated"'
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" title="{escape(title)}" {style}>'


def _coloured(share, signed):
    """Numbers from 0 to 1 (H, W) as colours (H, W, 3)."""
    ends = (PURPLE, WHITE, ORANGE) if signed else (DARK, MIDDLE, LIGHT)
    return np.stack([np.interp(share, (0, 0.5, 1), [end[c] for end in ends]) for c in range(3)], axis=-1)


def png(pixels: np.ndarray) -> bytes:
    """Pixels (H, W, 3) of uint8 as a PNG file (ISO/IEC 15948)."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
