"""The layers outside the core: for type checkers, which do not see that files are found in their folder."""

from minicnn.layers import (
    activity,
    adaptive_pooling,
    adaptive_volumes,
    added_loss,
    arithmetic,
    attention,
    augmentation,
    conv_transpose,
    conv_volumes,
    cropping,
    depthwise,
    dot_attention,
    dropout,
    einsum_dense,
    elementary,
    embedding,
    feature_normalization,
    further_activations,
    global_pooling,
    grouped_attention,
    lambda_layer,
    layer_scale,
    merge,
    merging,
    noise,
    normalization,
    one_dimensional,
    pipeline,
    placed_resizing,
    pointwise,
    random_colors,
    random_erasing,
    random_filters,
    random_flip,
    random_mixing,
    random_perspective,
    random_pixels,
    random_policies,
    random_tones,
    rearranging,
    reducing,
    rescaling,
    reshape,
    resizing,
    sample_normalization,
    slicing,
    spectral_normalization,
    time_distributed,
    volume_borders,
    volumes,
    zero_padding,
)
from minicnn.layers.activity import *  # noqa: F403
from minicnn.layers.adaptive_pooling import *  # noqa: F403
from minicnn.layers.adaptive_volumes import *  # noqa: F403
from minicnn.layers.added_loss import *  # noqa: F403
from minicnn.layers.arithmetic import *  # noqa: F403
from minicnn.layers.attention import *  # noqa: F403
from minicnn.layers.augmentation import *  # noqa: F403
from minicnn.layers.conv_transpose import *  # noqa: F403
from minicnn.layers.conv_volumes import *  # noqa: F403
from minicnn.layers.cropping import *  # noqa: F403
from minicnn.layers.depthwise import *  # noqa: F403
from minicnn.layers.dot_attention import *  # noqa: F403
from minicnn.layers.dropout import *  # noqa: F403
from minicnn.layers.einsum_dense import *  # noqa: F403
from minicnn.layers.elementary import *  # noqa: F403
from minicnn.layers.embedding import *  # noqa: F403
from minicnn.layers.feature_normalization import *  # noqa: F403
from minicnn.layers.further_activations import *  # noqa: F403
from minicnn.layers.global_pooling import *  # noqa: F403
from minicnn.layers.grouped_attention import *  # noqa: F403
from minicnn.layers.lambda_layer import *  # noqa: F403
from minicnn.layers.layer_scale import *  # noqa: F403
from minicnn.layers.merge import *  # noqa: F403
from minicnn.layers.merging import *  # noqa: F403
from minicnn.layers.noise import *  # noqa: F403
from minicnn.layers.normalization import *  # noqa: F403
from minicnn.layers.one_dimensional import *  # noqa: F403
from minicnn.layers.pipeline import *  # noqa: F403
from minicnn.layers.placed_resizing import *  # noqa: F403
from minicnn.layers.pointwise import *  # noqa: F403
from minicnn.layers.random_colors import *  # noqa: F403
from minicnn.layers.random_erasing import *  # noqa: F403
from minicnn.layers.random_filters import *  # noqa: F403
from minicnn.layers.random_flip import *  # noqa: F403
from minicnn.layers.random_mixing import *  # noqa: F403
from minicnn.layers.random_perspective import *  # noqa: F403
from minicnn.layers.random_pixels import *  # noqa: F403
from minicnn.layers.random_policies import *  # noqa: F403
from minicnn.layers.random_tones import *  # noqa: F403
from minicnn.layers.rearranging import *  # noqa: F403
from minicnn.layers.reducing import *  # noqa: F403
from minicnn.layers.rescaling import *  # noqa: F403
from minicnn.layers.reshape import *  # noqa: F403
from minicnn.layers.resizing import *  # noqa: F403
from minicnn.layers.sample_normalization import *  # noqa: F403
from minicnn.layers.slicing import *  # noqa: F403
from minicnn.layers.spectral_normalization import *  # noqa: F403
from minicnn.layers.time_distributed import *  # noqa: F403
from minicnn.layers.volume_borders import *  # noqa: F403
from minicnn.layers.volumes import *  # noqa: F403
from minicnn.layers.zero_padding import *  # noqa: F403

__all__: list[str] = []
__all__ += activity.__all__
__all__ += adaptive_pooling.__all__
__all__ += adaptive_volumes.__all__
__all__ += added_loss.__all__
__all__ += arithmetic.__all__
__all__ += attention.__all__
__all__ += augmentation.__all__
__all__ += conv_transpose.__all__
__all__ += conv_volumes.__all__
__all__ += cropping.__all__
__all__ += depthwise.__all__
__all__ += dot_attention.__all__
__all__ += dropout.__all__
__all__ += einsum_dense.__all__
__all__ += elementary.__all__
__all__ += embedding.__all__
__all__ += feature_normalization.__all__
__all__ += further_activations.__all__
__all__ += global_pooling.__all__
__all__ += grouped_attention.__all__
__all__ += lambda_layer.__all__
__all__ += layer_scale.__all__
__all__ += merge.__all__
__all__ += merging.__all__
__all__ += noise.__all__
__all__ += normalization.__all__
__all__ += one_dimensional.__all__
__all__ += pipeline.__all__
__all__ += placed_resizing.__all__
__all__ += pointwise.__all__
__all__ += random_erasing.__all__
__all__ += random_filters.__all__
__all__ += random_flip.__all__
__all__ += random_mixing.__all__
__all__ += random_colors.__all__
__all__ += random_perspective.__all__
__all__ += random_pixels.__all__
__all__ += random_policies.__all__
__all__ += random_tones.__all__
__all__ += rearranging.__all__
__all__ += reducing.__all__
__all__ += rescaling.__all__
__all__ += reshape.__all__
__all__ += resizing.__all__
__all__ += sample_normalization.__all__
__all__ += slicing.__all__
__all__ += spectral_normalization.__all__
__all__ += time_distributed.__all__
__all__ += volume_borders.__all__
__all__ += volumes.__all__
__all__ += zero_padding.__all__
