"""What does in training just what it does outside."""

from minicnn.plan.program import Place


def is_frozen(place: Place, learned: set[int]) -> bool:
    """Whether a place in training does what it does in a prediction: nothing there is learned, and no gradient passes.

    Parameters
    ----------
    place : Place
    learned : set of int
        Values whose gradient is computed.
    """
    return place.output not in learned and not any(weight.layer.trainable for weight in place.step.weights)
