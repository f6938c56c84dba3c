"""A model as a diagram of boxes and arrows."""


def plot_model(
    model,
    to_file=None,
    show_shapes=False,
    show_dtype=False,
    show_layer_names=False,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    show_layer_activations=False,
    show_trainable=False,
    **options,
):
    """Draw a model."""
    raise NotImplementedError
