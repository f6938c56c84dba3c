"""Data that changes from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable

from minicnn.data.dataset import Dataset


def by_epoch(function: Callable[[int], Dataset]) -> Dataset:
    """In each epoch of a training another data set: larger images, larger batches, other mirror images.

    Parameters
    ----------
    function : callable
        ``function(epoch)``, epochs counted from 0, returns the `Dataset` of that epoch's batches. Where it depends on
        the epoch alone (``shuffle(count, seed=epoch)``), a training that was killed goes on as if it had not been.

    Returns
    -------
    Dataset
        For `Model.fit`; what else reads it gets epoch 0. Steps such as `map` and `prefetch` belong into the function.

    Raises
    ------
    TypeError
        If `function` is none; in the training, if it returns anything but a data set.

    Notes
    -----
    Sizes that grow: Howard: "Training Imagenet in 3 hours for $25", 2018; Tan and Le: "EfficientNetV2", 2021. Batches
    that grow: Smith, Kindermans, Ying, Le: "Don't decay the learning rate, increase the batch size", 2018.

    Examples
    --------
    ``model.fit(by_epoch(lambda n: Dataset.from_tensor_slices((resized(x, 20 + 2 * n), y)).batch(64 * (n + 1))))``
    for a model with ``Input((None, None, 3))``.
    """
    if not callable(function):
        raise TypeError(f"by_epoch takes a function: epoch → data set. Received: {type(function).__name__}")
    return _ByEpoch(function)


class _ByEpoch(Dataset):
    """Another data set in each epoch."""

    def __init__(self, function):
        super().__init__(lambda: self.of_epoch(0)._elements())
        self._function = function

    def of_epoch(self, number):
        """The data set of an epoch; a training asks for it."""
        dataset = self._function(number)
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"the function given to by_epoch returns a Dataset. Received: {type(dataset).__name__} for epoch "
                f"{number}"
            )
        return dataset
