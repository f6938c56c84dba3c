"""What ``from keras.layers import *`` and its like bring beside classes: names that a module finds when it is asked.

A star takes what stands in ``__all__``, and asks no ``__getattr__``. Here are the names of Keras 2 and 3 that it would
leave out, without those that warn that they are older.
"""

_NAMES = """
activations:
    deserialize serialize
backend:
    abs all any arange batch_dot batch_normalization bias_add binary_crossentropy cast categorical_crossentropy
    clip constant conv1d conv2d conv2d_transpose conv3d conv3d_transpose
    cos count_params cumprod depthwise_conv2d dot dropout dtype elu
    equal exp eye foldl foldr gather get_uid greater greater_equal in_test_phase in_top_k in_train_phase
    is_float_dtype is_int_dtype is_keras_tensor is_sparse l2_normalize learning_phase_scope less less_equal
    local_conv1d local_conv2d log manual_variable_initialization map_fn maximum mean min minimum
    moving_average_update name_scope normalize_batch_in_training not_equal one_hot ones ones_like
    permute_dimensions pool2d pool3d pow prod random_bernoulli random_binomial random_normal random_normal_variable
    random_uniform random_uniform_variable repeat_elements reset_uids reshape resize_images resize_volumes reverse round
    separable_conv2d shape sigmoid sign sin softmax softplus softsign sparse_categorical_crossentropy
    spatial_2d_padding spatial_3d_padding sqrt square squeeze stack standardize_dtype std stop_gradient sum switch tanh
    temporal_padding tile to_dense transpose truncated_normal update update_add update_sub var variable zeros
    zeros_like
callbacks:
    BaseLogger CallbackList ProgbarLogger
constraints:
    deserialize max_norm min_max_norm non_neg serialize unit_norm
initializers:
    Identity IdentityInitializer Orthogonal OrthogonalInitializer constant deserialize get glorot_normal
    glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform ones orthogonal random_normal
    random_uniform serialize truncated_normal variance_scaling zeros
layers:
    InputSpec RandomHeight RandomWidth ThresholdedReLU Wrapper deserialize serialize
losses:
    KLD MAE MAPE MSE MSLE binary_focal_crossentropy categorical_focal_crossentropy
    categorical_generalized_cross_entropy deserialize dice huber kld log_cosh mae mape mse msle serialize
    tversky
metrics:
    KLD MAE MAPE MSE MSLE binary_focal_crossentropy categorical_focal_crossentropy categorical_hinge
    concordance_correlation deserialize hinge huber kl_divergence kld log_cosh mae mape
    mean_absolute_percentage_error mean_squared_logarithmic_error mse msle pearson_correlation poisson serialize
    squared_hinge
models:
    model_from_config model_from_yaml
ops:
    adaptive_average_pool adaptive_max_pool allclose amax amin angle append arctan arctan2 array_split
    associative_scan average average_pool bartlett batch_normalization bincount bitwise_invert bitwise_left_shift
    bitwise_not bitwise_right_shift blackman cbrt cdist cholesky cholesky_inverse cond conj conjugate conv
    conv_transpose copy corrcoef correlate cosh count_nonzero cross deg2rad depth_to_space depthwise_conv det diagflat
    diff digitize divide_no_nan dot_product_attention dsplit dstack dtype eig eigh einsum empty_like erf erfc erfinv
    exp2 fabs fft fft2 fliplr flipud floor_divide fmax fmin fmod fori_loop full_like gcd geomspace get_item glu
    hamming hanning heaviside hsplit hstack hypot i0 identity ifft2 image in_top_k inner inv irfft is_tensor isclose
    isin isposinf isreal kaiser kron layer_normalization lcm ldexp left_shift linalg log2 logaddexp logaddexp2 logdet
    logspace lstsq map matrix_rank max_pool meshgrid mod moments multi_hot nan_to_num nanargmax nanargmin nancumprod
    nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar ndim nextafter nn
    nonzero norm normalize numpy percentile pinv psnr ptp qr quantile rad2deg ravel real rearrange rfft right_shift
    rms_normalization roll saturate_cast scan scatter scatter_update searchsorted segment_max segment_min segment_prod
    segment_sum select separable_conv signbit sinc sinh size slice slice_update slogdet solve solve_triangular
    space_to_depth split stop_gradient svd swish switch take take_along_axis tensordot top_k trace trapezoid tri tril
    triu true_divide trunc unravel_index unstack vander vdot vectorize vectorized_map vsplit vstack while_loop
optimizers:
    deserialize get schedules serialize
preprocessing:
    image_dataset_from_directory timeseries_dataset_from_array
regularizers:
    deserialize orthogonal_regularizer serialize
"""


def starred(module: str) -> list[str]:
    """The names that a star brings besides, of a module such as ``minicnn.keras.layers``."""
    found: dict[str, list[str]] = {}
    for line in _NAMES.strip().split("\n"):
        if line.endswith(":"):
            names = found.setdefault(line[:-1], [])
        else:
            names += line.split()
    return found[module.removeprefix("minicnn.keras.")]
