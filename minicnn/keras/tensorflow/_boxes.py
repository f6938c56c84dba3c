"""``tf.image``'s boxes of found things: which of several are kept, and how they are drawn. They have no gradients."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.differentiation import Recorded, value_of
from minicnn.errors import ShapeError
from minicnn.keras._operations import is_symbolic
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["combined_non_max_suppression", "draw_bounding_boxes", "non_max_suppression"]
__all__ += ["non_max_suppression_overlaps", "non_max_suppression_padded", "non_max_suppression_with_scores"]


def _overlaps(boxes: np.ndarray) -> Callable[[int, Any], np.ndarray]:
    """Gives the intersection of a box over its union with each of others, 0 for those without an area.

    Of every two it would be (n, n) numbers, which a picture's hundred thousand boxes have no room for.
    """
    first, last = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])  # any two corners
    areas = np.prod(last - first, axis=-1)

    def with_others(at, others):
        sides = np.minimum(last[at], last[others]) - np.maximum(first[at], first[others])  # (m, 2)
        common = np.prod(np.maximum(sides, 0), axis=-1)
        union = areas[at] + areas[others] - common
        return np.where((areas[at] > 0) & (areas[others] > 0), common / np.where(union > 0, union, 1), 0)

    return with_others


def _kept(overlaps, scores, most, threshold, score_threshold, sigma=0.0) -> tuple[np.ndarray, np.ndarray]:
    """(which are kept, in the order of their scores; their scores): (m,), (m,)."""
    score_threshold = float(scores.dtype.type(score_threshold))
    queue = [(-score, at, 0) for at, score in enumerate(scores.tolist()) if score > score_threshold]
    heapq.heapify(queue)
    chosen: list[int] = []
    found: list[float] = []
    while queue and len(chosen) < most:
        negative, at, met = heapq.heappop(queue)
        near = overlaps(at, chosen[met:])  # `met` counts those kept that have lowered the score already
        if sigma == 0 and (near > near.dtype.type(threshold)).any():
            continue
        factor = np.exp(-0.5 / sigma * np.square(near)).prod() if sigma else 1.0
        if factor == 1:
            chosen.append(at)
            found.append(-negative)
        elif -negative * factor > score_threshold:
            heapq.heappush(queue, (negative * factor, at, len(chosen)))
    return np.array(chosen, np.int32), np.array(found)


def _plain(boxes: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4) and their scores (n,).

    Raises
    ------
    ShapeError
        For other shapes.
    """
    boxes, scores = (np.asarray(value_of(as_tensor(each))) for each in (boxes, scores))
    if boxes.ndim != 2 or boxes.shape[-1] != 4 or scores.shape != boxes.shape[:1]:
        raise ShapeError(f"expected boxes (n, 4) and scores (n,). Received: shapes {boxes.shape} and {scores.shape}")
    return boxes, scores


def non_max_suppression(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = -np.inf,
    name: str | None = None,
) -> Any:
    """The boxes of the best scores, none of which covers a better one by more than a threshold.

    Parameters
    ----------
    boxes : array (n, 4)
        Any two opposite corners of each, (y, x, y, x).
    scores : array (n,)
    max_output_size : int
        How many are kept at most.
    iou_threshold : float, default 0.5
        Of the intersection over the union.
    score_threshold : float
        Boxes without a better score are left out.

    Returns
    -------
    array (m,) of int32
        Which they are, the best first.

    Raises
    ------
    ShapeError
        For boxes and scores of other shapes.
    """
    boxes, scores = _plain(boxes, scores)
    kept, _ = _kept(_overlaps(boxes), scores, int(max_output_size), float(iou_threshold), float(score_threshold))
    return of_tensorflow(kept)


def non_max_suppression_with_scores(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = -np.inf,
    soft_nms_sigma: float = 0.0,
    name: str | None = None,
) -> tuple[Any, Any]:
    """`non_max_suppression` and the scores that are left: (which (m,), scores (m,)).

    With a `soft_nms_sigma`, boxes are not left out for covering better ones, but have their scores lowered, by
    exp(-iou² / (2 · sigma)) for each of them: Bodla, Singh, Chellappa, Davis, "Soft-NMS", 2017, arXiv 1704.04503.
    """
    boxes, scores = _plain(boxes, scores)
    thresholds = float(iou_threshold), float(score_threshold)
    kept, left = _kept(_overlaps(boxes), scores, int(max_output_size), *thresholds, float(soft_nms_sigma))
    return of_tensorflow(kept), of_tensorflow(left.astype(scores.dtype))


def non_max_suppression_overlaps(
    overlaps: Any,
    scores: Any,
    max_output_size: Any,
    overlap_threshold: float = 0.5,
    score_threshold: float = -np.inf,
    name: str | None = None,
) -> Any:
    """`non_max_suppression` where how much every two boxes overlap is given, (n, n)."""
    overlaps, scores = (np.asarray(value_of(as_tensor(each))) for each in (overlaps, scores))
    if overlaps.shape != scores.shape * 2:
        raise ShapeError(f"expected overlaps (n, n) of scores (n,). Received: {overlaps.shape} and {scores.shape}")
    given = (int(max_output_size), float(overlap_threshold), float(score_threshold))
    kept, _ = _kept(lambda at, others: overlaps[at, others], scores, *given)
    return of_tensorflow(kept)


def non_max_suppression_padded(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = -np.inf,
    pad_to_max_output_size: bool = False,
    **options: Any,
) -> tuple[Any, Any]:
    """(`non_max_suppression`, with zeros behind if `pad_to_max_output_size`; how many were kept); boxes of one image.

    Raises
    ------
    ShapeError
        For boxes of several images.
    """
    kept = np.asarray(non_max_suppression(boxes, scores, max_output_size, iou_threshold, score_threshold))
    count = of_tensorflow(np.int32(len(kept)))
    if pad_to_max_output_size:
        kept = np.pad(kept, (0, int(max_output_size) - len(kept)))
    return of_tensorflow(kept), count


class CombinedNonMaxSuppression(NamedTuple):
    """What `combined_non_max_suppression` gives."""

    nmsed_boxes: Any
    nmsed_scores: Any
    nmsed_classes: Any
    valid_detections: Any


def combined_non_max_suppression(
    boxes: Any,
    scores: Any,
    max_output_size_per_class: Any,
    max_total_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = -np.inf,
    pad_per_class: bool = False,
    clip_boxes: bool = True,
    name: str | None = None,
) -> CombinedNonMaxSuppression:
    """`non_max_suppression` of every class of every image, and of these the best.

    Parameters
    ----------
    boxes : array (N, n, 1, 4), or with boxes for each class (N, n, classes, 4)
    scores : array (N, n, classes)
    max_output_size_per_class, max_total_size : int
    iou_threshold, score_threshold : float
    pad_per_class : bool, default False
        Whether there are only as many rows as all classes together can have, where that is less.
    clip_boxes : bool, default True
        Whether corners are brought to the range from 0 to 1.

    Returns
    -------
    (boxes (N, rows, 4), scores (N, rows), classes (N, rows), counts (N,))
        All floats but the counts; behind the last box of an image are zeros.

    Raises
    ------
    ShapeError
        For other shapes.
    """
    if is_symbolic([boxes, scores]):  # each image's boxes are its own
        options = max_output_size_per_class, max_total_size, iou_threshold, score_threshold, pad_per_class, clip_boxes
        of_arrays = of_tensors_too(lambda *xs: tuple(combined_non_max_suppression(*xs, *options)), "nms")
        return CombinedNonMaxSuppression(*of_arrays(boxes, scores))
    given = [as_tensor(each) for each in (boxes, scores)]
    corners, numbers = (np.asarray(value_of(each), np.float32) for each in given)
    if corners.ndim != 4 or numbers.ndim != 3 or corners.shape[2:] not in ((1, 4), (numbers.shape[-1], 4)):
        raise ShapeError(
            "expected boxes (N, n, 1 or classes, 4) and scores (N, n, classes). Received: shapes "
            f"{corners.shape} and {numbers.shape}"
        )
    rows, most = int(max_total_size), int(max_output_size_per_class)
    if pad_per_class:
        rows = min(rows, most * numbers.shape[-1])
    *made, counts = _combined(corners, numbers, rows, most, float(iou_threshold), float(score_threshold))
    made[0] = np.clip(made[0], 0, 1) if clip_boxes else made[0]
    made = [_without_gradient(each, given) for each in made]
    return CombinedNonMaxSuppression(*map(of_tensorflow, (*made, counts)))


def _combined(corners, numbers, rows, most, iou_threshold, score_threshold):
    """Boxes (N, rows, 4), scores and classes (N, rows), with zeros behind the last, and counts (N,)."""
    made = [np.zeros((len(corners), rows, 4), np.float32), *np.zeros((2, len(corners), rows), np.float32)]
    counts = np.zeros(len(corners), np.int32)
    for image, (own, theirs) in enumerate(zip(corners, numbers, strict=True)):
        found = _of_all_classes(own, theirs, most, iou_threshold, score_threshold)[:rows]
        counts[image] = len(found)
        for row, (score, label, at) in enumerate(found):
            made[0][image, row] = own[at, label if own.shape[1] > 1 else 0]
            made[1][image, row], made[2][image, row] = score, label
    return *made, counts


def _without_gradient(made, given):
    """Numbers behind what is recorded: a layer that only predicts may have them, and a gradient is refused."""

    def back(g):
        raise TypeError(
            "tf.image.combined_non_max_suppression has no gradient, as in TensorFlow: train by what stands before it. "
            f"Received: a gradient of shape {np.shape(value_of(g))}"
        )

    recorded = [each for each in given if isinstance(each, Recorded) and each.has_gradient]
    return Recorded(made, [(each, back) for each in recorded]) if recorded else made


def _of_all_classes(boxes, scores, most, iou_threshold, score_threshold):
    """(score, class, which box) of all that are kept in any class of an image, the best first."""
    overlaps, found = [_overlaps(boxes[:, label]) for label in range(boxes.shape[1])], []
    for label in range(scores.shape[1]):
        own = overlaps[label if len(overlaps) > 1 else 0]
        kept, left = _kept(own, scores[:, label], most, iou_threshold, score_threshold)
        found += [(score, label, at) for score, at in zip(left.tolist(), kept.tolist(), strict=True)]
    return sorted(found, key=lambda each: -each[0])


_PALETTE = np.array(  # of TensorFlow's, for boxes without colours: yellow, blue, red, green, …
    [
        *([1, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 0, 1], [0.5, 0, 0.5, 1], [0.5, 0.5, 0, 1]),
        *([0.5, 0, 0, 1], [0, 0, 0.5, 1], [0, 1, 1, 1], [1, 0, 1, 1]),
    ]
)


def draw_bounding_boxes(images: Any, boxes: Any, colors: Any, name: str | None = None) -> Any:
    """Images with the outlines of boxes, one pixel wide.

    Parameters
    ----------
    images : array (N, H, W, C) of floats, C one of 1, 3 and 4
    boxes : array (N, n, 4)
        Top, left, bottom and right, where 0 and 1 are the middles of the first and the last pixel.
    colors : array (k, C) or None
        Of the boxes in turn; None: TensorFlow's.

    Returns
    -------
    array (N, H, W, C)
        Boxes without rows or columns inside are left out.

    Raises
    ------
    TypeError
        For whole numbers, which colours from 0 to 1 do not fit.
    ShapeError
        For other shapes.
    """
    made, corners = np.array(as_tensor(images)), np.asarray(as_tensor(boxes), np.float32)
    if made.dtype.kind != "f":
        raise TypeError(f"boxes are drawn into floats: tf.image.convert_image_dtype. Received: {made.dtype}")
    if made.ndim != 4 or corners.ndim != 3 or corners.shape[::2] != (len(made), 4):
        raise ShapeError(f"expected images (N, H, W, C), boxes (N, n, 4). Received: {made.shape}, {corners.shape}")
    height, width, depth = made.shape[1:]
    palette = _PALETTE[:, :depth] if colors is None else np.asarray(as_tensor(colors))
    if colors is None and depth == 1:
        palette = np.ones((1, 1))
    if palette.ndim != 2 or palette.shape[1] < depth:
        raise ShapeError(f"colours of {depth} channel(s) are (k, {depth}). Received: shape {palette.shape}")
    places = (corners * np.array([height - 1, width - 1] * 2, np.float32)).astype(int)  # cut off towards 0
    for image, own in zip(made, places.tolist(), strict=True):
        for number, box in enumerate(own):
            _outline(image, box, palette[number % len(palette), :depth])
    return of_tensorflow(made)


def _outline(image, box, color):
    """Draw one box into an image (H, W, C), whose lines may lie outside."""
    (top, left, bottom, right), (height, width) = box, image.shape[:2]
    if top > bottom or left > right or top >= height or left >= width or bottom < 0 or right < 0:
        return
    rows, columns = (slice(max(a, 0), min(b, n - 1) + 1) for a, b, n in ((top, bottom, height), (left, right, width)))
    for row in {top, bottom} & {*range(height)}:
        image[row, columns] = color
    for column in {left, right} & {*range(width)}:
        image[rows, column] = color
