"""Constraints, regularizers, initializers, activations and utils do what Keras's do, with all their options.

`golden/make_keras_parts.py` noted Keras's numbers down; the cases stand in `small_part_cases.py`. A name or an option
of Keras's without a case makes a test fail.
"""

from pathlib import Path

import numpy as np
import pytest
import small_part_cases as small
from part_cases import expected, never_set, same_notes, signatures

from minicnn import keras
from minicnn.keras import tensorflow as tf

EXPECTED = expected("small_parts")


OTHER_SLOPES = {"hard_tanh": (-1.0, 1.0), "relu6": (6.0,)}
"""Function → kinks where TensorFlow takes the slope on the other side (docs/keras.md)."""


def of(cases):
    """A parameter for each case, called by its name."""
    return [pytest.param(*case, id=case[0]) for case in small.each(cases)]


@pytest.mark.parametrize(("case", "name", "options"), of(small.CONSTRAINTS))
def test_constraints(case, name, options):
    same_notes(small.constrained(keras, name, options), EXPECTED[case], case)


@pytest.mark.parametrize(("case", "name", "options"), of(small.REGULARIZERS))
def test_regularizers_and_their_gradients(case, name, options):
    for found, known in zip(small.penalty(keras, tf, name, options), EXPECTED[case], strict=True):
        same_notes(found, known, case)


@pytest.mark.parametrize(("case", "name", "options"), of(small.INITIALIZERS))
def test_initializers(case, name, options):
    """Arrays without chance; else mean, standard deviation and, of uniform and truncated numbers, the limit."""
    found = small.drawn(keras, name, options)
    if name in small.EXACT or name == "Orthogonal":
        for one, known in zip(found, EXPECTED[case], strict=True):
            same_notes(one, known, case)
        return
    has_limit = "Uniform" in name or options.get("distribution") == "uniform"
    has_limit |= name != "RandomNormal" and options.get("distribution") != "untruncated_normal"
    for (mean, std, limit), (known_mean, known_std, known_limit) in zip(found, EXPECTED[case], strict=True):
        assert abs(mean - known_mean) < 0.03 * known_std
        assert std == pytest.approx(known_std, rel=0.02)  # of 60,000 numbers: seven times their chance
        if has_limit:
            assert limit == pytest.approx(known_limit, rel=0.03)


@pytest.mark.parametrize(("case", "name", "options"), of(small.ACTIVATIONS))
def test_activations_and_their_slopes_at_forty_points(case, name, options):
    values, slopes = (np.array(numbers) for numbers in small.activated(keras, tf, name, options))
    known, known_slopes = (np.array(numbers) for numbers in EXPECTED[case])
    np.testing.assert_allclose(values, known, rtol=1e-6, atol=1e-6)
    counts = ~np.isin(small.POINTS.ravel(), OTHER_SLOPES.get(name, ()))
    np.testing.assert_allclose(slopes[counts], known_slopes[counts], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "name", "given", "options"), [pytest.param(*case, id=case[0]) for case in small.each_util()]
)
def test_utils(case, name, given, options):
    found, known = small.util(keras, name, given, options), EXPECTED[case]
    if name != "split_dataset":
        return same_notes(found, known, case)
    assert [len(part) for part in found] == [len(part) for part in known]
    for part, known_part in zip(found, known, strict=True):
        np.testing.assert_array_equal(part, known_part)


# ------------------------------------------------------------------------------------------------ nothing is forgotten

_BASES = "Constraint", "Regularizer", "Initializer", "deserialize", "get", "serialize"
_ALIASES = {"OrthogonalInitializer": "Orthogonal", "IdentityInitializer": "Identity"}
OF_ARRAYS_ELSEWHERE = {"sparsemax": "is the paper's, not that of Keras on TensorFlow: test_activation_functions.py"}
ABSENT = "STFT", "STFTInitializer", "stft"
AXES = "input_axes", "output_axes"
"""Options of initializers that are refused: a kernel's last two axes are those of inputs and outputs."""
KINDS = {
    "constraints": small.CONSTRAINTS,
    "regularizers": small.REGULARIZERS,
    "initializers": small.INITIALIZERS,
    "activations": small.ACTIVATIONS,
}


@pytest.mark.parametrize("module", KINDS)
def test_every_name_that_keras_has_is_compared(module):
    """In lower case, as `l2`, the classes have further names."""
    names = {n for n in signatures(module) if n not in (*_BASES, *_ALIASES, *OF_ARRAYS_ELSEWHERE, *ABSENT)}
    classes = {n for n in names if n in KINDS[module]}
    others = {n for n in names - classes if getattr(getattr(keras, module), n).__name__ not in KINDS[module]}
    assert others == set()
    assert classes == {*KINDS[module]}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, cases in KINDS.items() for name in cases])
def test_every_option_is_compared(module, name):
    unset = never_set(module, name, KINDS[module][name]) - {"seed"}
    assert unset <= {*AXES}
    for option in unset:
        with pytest.raises(TypeError, match=option):
            getattr(getattr(keras, module), name)(**{option: -1})


ABSENT_UTILS = (*("Config", "FeatureSpace", "audio_dataset_from_directory", "text_dataset_from_directory"),)
UTILS_ELSEWHERE = {
    "test_keras_rows.py": ("pad_sequences", "timeseries_dataset_from_array"),
    "test_keras_downloads.py": ("get_file",),
    "test_keras_tensorflow_edges.py": ("get_registered_name", "get_registered_object"),
    "test_keras_models.py": ("deserialize_keras_object", "serialize_keras_object"),
    "test_keras_definitions.py": ("get_source_inputs",),
    "test_keras_tensor.py": ("is_keras_tensor",),
    "test_data_intake.py": ("PyDataset",),
    "test_keras_3_modules.py": (
        *("standardize_dtype", "is_interactive_logging_enabled", "disable_interactive_logging"),
        "enable_interactive_logging",
    ),
    "test_keras_pictures.py": ("array_to_img", "image_dataset_from_directory", "img_to_array"),
    "test_images.py": ("load_img", "save_img"),
    "test_plot_model.py": ("plot_model",),
    "test_keras_older_parts.py": ("clear_session",),
    "test_keras_own_names.py": ("register_keras_serializable",),
}
"""File → functions that are tested there, which a word in it shows."""


def test_every_util_is_compared_or_elsewhere():
    for file, names in UTILS_ELSEWHERE.items():
        text = Path(__file__).with_name(file).read_text(encoding="utf-8")
        assert [name for name in names if name not in text] == [], file
    elsewhere = {name for names in UTILS_ELSEWHERE.values() for name in names}
    here = {name for name in signatures("utils") if f"utils.{name}" in Path(__file__).read_text(encoding="utf-8")}
    assert {*signatures("utils")} == {*small.UTILS, *ABSENT_UTILS, *here, *elsewhere}


def test_parts_of_batches():
    """The forms that Keras's documentation has."""
    x, y, w = np.zeros(2), np.ones(2), np.full(2, 3.0)
    assert keras.utils.pack_x_y_sample_weight(x) is x
    assert keras.utils.pack_x_y_sample_weight(x, y) == (x, y)
    assert keras.utils.pack_x_y_sample_weight(x, y, w) == (x, y, w)
    assert keras.utils.unpack_x_y_sample_weight((x,)) == (x, None, None)
    assert keras.utils.unpack_x_y_sample_weight((x, y)) == (x, y, None)
    assert keras.utils.unpack_x_y_sample_weight([x, y, w]) == (x, y, w)
    assert keras.utils.unpack_x_y_sample_weight(x) == (x, None, None)
    with pytest.raises(ValueError, match="Received"):
        keras.utils.unpack_x_y_sample_weight((x, y, w, x))


def test_names_in_a_scope():
    assert keras.utils.CustomObjectScope is keras.utils.custom_object_scope
    with keras.utils.CustomObjectScope({"twice": max}):
        assert keras.utils.get_registered_object("twice") is max
    assert keras.utils.get_registered_object("twice") is None
    keras.utils.get_custom_objects()["twice"] = min
    assert keras.utils.get_registered_object("twice") is min
    del keras.utils.get_custom_objects()["twice"]


def test_a_scope_knows_what_is_known_where_it_is_entered():
    """As Keras 2 has it, of two that were made beforehand and a dict that grows meanwhile; and a decorated function."""
    found, later = keras.utils.get_registered_object, {}
    outer, inner, grown = map(keras.utils.custom_object_scope, ({"most": max}, {"least": min}, later))
    later["total"] = sum
    with outer, inner, grown:
        assert [found("most"), found("least"), found("total")] == [max, min, sum]

    @keras.utils.custom_object_scope({"least": min})
    def both():
        return [found("most"), found("least")]

    with keras.utils.custom_object_scope({"most": max}):
        assert both() == [max, min]
    assert both() == [None, min]


def test_seeds_make_numbers_again():
    keras.utils.set_random_seed(3)
    first = np.asarray(keras.initializers.GlorotUniform()((2, 3)))
    keras.utils.set_random_seed(3)
    assert np.array_equal(first, keras.initializers.GlorotUniform()((2, 3)))


def test_what_draws_and_prints(capsys):
    """Progress and diagrams are there by their names; what they show is not Keras's."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert b"<svg" in keras.utils.model_to_dot(model).create(prog="dot", format="svg")
    bar = keras.utils.Progbar(2, verbose=2)
    bar.update(2, values=[("loss", 0.25)], finalize=True)
    assert "loss: 0.25" in capsys.readouterr().out
    assert issubclass(keras.utils.PyDataset, keras.utils.Sequence)


@pytest.mark.parametrize(("case", "name", "options"), of(small.CONSTRAINTS))
def test_constraints_of_variables_and_arrays(case, name, options):
    """Given as they are, as what functions give, and as variables: none is changed, and all give the same."""
    w = small.wave(small.WEIGHT, 2)
    for given in (w, keras.ops.convert_to_tensor(w), keras.Variable(w, dtype="float64"), w.tolist()):
        same_notes(small.note(getattr(keras.constraints, name)(**options)(given)), EXPECTED[case], case)
        assert np.array_equal(given, w)
