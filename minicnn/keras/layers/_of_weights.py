"""The layer that a weight and a model's tensor become where they meet in a `call` that is made of layers."""

from typing import Any, NoReturn

from minicnn.keras._own_parts import Layer
from minicnn.keras._own_weights import MAKERS


class Using(Layer):
    """A function of weights of another layer's, and of tensors.

    Parameters
    ----------
    weights : dict of Weight
        By name.
    function : callable
        Of a dict of arrays in place of the weights, and a list of the tensors' arrays.
    """

    holds_code = True

    def __init__(self, weights: Any, function: Any) -> None:
        super().__init__()
        self._weights, self.own, self.function = weights, dict(weights), function

    def call(self, inputs: Any) -> Any:
        """The function's value."""
        return self.function(self.own, inputs if isinstance(inputs, list) else [inputs])

    def refuse_files(self) -> NoReturn:
        """Raise the error for a file that should hold the function."""
        raise TypeError(
            "the call of a model computes with a weight or variable of its own, which no file holds: save the weights "
            f"alone, or do so in the call of a Layer. Received: {[*self.own]}"
        )


MAKERS.append(Using)
