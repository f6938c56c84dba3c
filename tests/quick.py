"""Which tests `pytest -m quick` runs: of every part those that take little time. What it leaves out has a reason."""

NOT_QUICK = {
    "test_algorithms_benchmark": "runs a benchmark",
    "test_array_layouts": "every layer in every layout",
    "test_busy_benchmark": "runs a benchmark",
    "test_checkpoints": "kills trainings and starts them again",
    "test_command_line": "starts many processes",
    "test_convolution_kernels": "compiles every form of the convolutions",
    "test_determinism": "trains with several numbers of threads",
    "test_distribution": "starts many processes",
    "test_examples": "trains every example",
    "test_gpu": "a GPU's kernels, compiled by g++",
    "test_gpu_benchmark": "runs a benchmark",
    "test_gpu_hopper": "a GPU's kernels, compiled by g++",
    "test_gpu_hopper_halves": "a GPU's kernels, compiled by g++",
    "test_gpu_kernels": "a GPU's kernels, compiled by g++",
    "test_gpu_sources": "a GPU's kernels, compiled by NVRTC",
    "test_gpu_standin": "a GPU's kernels, compiled by g++",
    "test_gpu_tensor_cores": "a GPU's kernels, compiled by g++",
    "test_hostile_files": "thousands of damaged files",
    "test_image_loading_benchmark": "runs a benchmark",
    "test_keras_callbacks": "trains for many epochs",
    "test_keras_files": "reads every file that Keras writes",
    "test_keras_oracle": "imports Keras",
    "test_keras_oracle_files": "imports Keras",
    "test_not_finite_torch": "imports PyTorch",
    "test_page": "starts a browser",
    "test_pointwise_kernels": "compiles every form of the elementwise kernels",
    "test_reproduce": "runs the examples",
    "test_second_compiler": "compiles the kernels of a network anew",
    "test_sklearn": "runs scikit-learn's own checks",
    "test_surroundings": "starts many processes",
    "test_tile_ops": "compiles the kernels for tiles",
    "test_tutorials": "trains the networks of every page",
    "test_types": "runs pyright",
}
"""File → why none of its tests is quick."""

SLOW = {
    "test_a_variational_autoencoder",
    "test_any_sharing_is_read_again",
    "test_contract_fused_or_not",
    "test_contract_on_a_backend",  # quick on the reference backend
    "test_conv2d_against_loops",
    "test_fused_equals_unfused",
    "test_gradients_of_random_graphs",
    "test_gradients_of_a_convolution",
    "test_grouped_convolutions_do_not_merge_with_pooling",
    "test_groups",
    "test_library_is_imported_by_its_owner_only",
    "test_no_modules_import_each_other",
    "test_places_far_away_and_on_the_edges",
    "test_pooling",
    "test_real_cifar",
    "test_shared_memory_changes_nothing",
    "test_siamese_model_trains_its_shared_weights",
    "test_warp_kernel",
}
"""Tests of more than two seconds, all cases together, in files of quick ones."""


def is_quick(file, name, case, on_gpu):
    """Whether a test is quick.

    Parameters
    ----------
    file, name : str
        Of the file, without a suffix, and of the test's function.
    case : str
        The parameters, as pytest writes them: "Dense-0-numpy"; may be empty.
    on_gpu : bool
        Whether it is marked so.
    """
    on_reference = name == "test_contract_on_a_backend" and "-numpy" in case
    return not on_gpu and file not in NOT_QUICK and (name not in SLOW or on_reference)
