"""What a model says about pictures: class names and preprocessing, in every file format; `predict_image`."""

import json
import math
import pickle
import warnings

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers
from minicnn.errors import DataError, FileFormatError, ShapeError
from minicnn.images import Preprocessing

Image = pytest.importorskip("PIL.Image")

NAMES = ["<b>cat</b>", "perro ñ", "狐"]
TURN = {1: None, 3: 180, 6: 270, 8: 90}  # EXIF's orientation → counter-clockwise degrees that set it right


def model_for(shape=(12, 16, 3), units=3, activation="softmax"):
    """A small model with class names, which takes pixels from 0 to 255."""
    model = mc.Sequential(
        [
            mc.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(units, activation=activation),
        ]
    )
    model.preprocessing = Preprocessing(crop_to_aspect_ratio=True)
    return model


@pytest.fixture
def named_model():
    model = model_for()
    model.class_names = NAMES
    return model


@pytest.fixture
def photo(tmp_path, rng):
    """The path of a picture of 40×30 pixels."""
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    return path


# -------------------------------------------------------------------------------------------------- one prediction


def test_a_prediction_is_that_of_the_pixels(named_model, photo):
    """Pillow's own pixels of the same size need no resizing; the rest is the model's `predict`."""
    pixels = np.asarray(Image.open(photo))[:12, :16]
    Image.fromarray(pixels).save(photo)
    expected = named_model.predict(pixels[None].astype(np.float32))[0]
    found = named_model.predict_image(photo)
    assert found.class_name == NAMES[expected.argmax()]
    assert found.probability == pytest.approx(expected.max())
    assert found.probabilities == pytest.approx({name: expected[i] for i, name in enumerate(NAMES)})
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
    assert named_model.predict_image(pixels) == found
    assert named_model.predict_image(Image.open(photo)) == found
    assert named_model.predict_image(photo.read_bytes()) == found  # what a server gets


@pytest.mark.parametrize("units", [1, 3])
def test_logits_become_probabilities(photo, units):
    model = model_for(units=units, activation=None)
    pixels = model.preprocessing.for_shape((12, 16, 3))(photo)
    logits = model.predict(pixels[None])[0].astype(float)
    if units == 1:
        one = 1 / (1 + math.exp(-logits[0]))
        expected = {"0": 1 - one, "1": one}
    else:
        total = sum(math.exp(x) for x in logits)
        expected = {str(i): math.exp(x) / total for i, x in enumerate(logits)}
    assert model.predict_image(photo).probabilities == pytest.approx(expected, rel=1e-5)


def test_an_output_in_a_dict_is_one_too(photo, tmp_path, capsys):
    from minicnn.command_line.program import main

    plain = model_for()
    model = mc.Model(plain.inputs[0], {"kind": plain.outputs[0]})
    model.class_names, model.preprocessing = NAMES, plain.preprocessing
    plain.class_names = NAMES
    assert model.predict_image(photo) == plain.predict_image(photo)
    model.save(tmp_path / "m.safetensors")
    assert main(["predict", str(tmp_path / "m.safetensors"), str(photo), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class_name"] == plain.predict_image(photo).class_name


def test_a_grey_model_without_channels_takes_a_picture_in_colour(photo):
    model = mc.Sequential([mc.Input((8, 8)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    model.preprocessing = Preprocessing(rescale=1 / 255)
    grey = np.asarray(Image.open(photo)) @ [9797, 19234, 3737] // 2**15  # as libpng makes it, and TensorFlow with it
    pixels = mc.images.smart_resize(grey[..., None].astype("float32"), (8, 8))
    expected = model.predict(pixels[None, ..., 0] / 255)[0]
    model.preprocessing = {"rescale": 1 / 255, "crop_to_aspect_ratio": True}
    assert model.predict_image(photo).probability == pytest.approx(expected.max(), rel=1e-4)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "1", "LA", "I;16"])
def test_pictures_of_every_kind_are_taken(named_model, photo, mode):
    path = photo.with_suffix(".jpg" if mode == "CMYK" else ".png")
    image = Image.open(photo)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    image.save(path)
    assert named_model.predict_image(path).class_name in NAMES


@pytest.mark.parametrize("orientation", TURN)
def test_a_photo_is_turned_as_the_camera_was_held(photo, orientation):
    upright = Image.open(photo)
    lying = upright if TURN[orientation] is None else upright.rotate(-TURN[orientation], expand=True)
    notes = Image.Exif()
    notes[0x0112] = orientation
    lying.save(photo, exif=notes)
    np.testing.assert_array_equal(Preprocessing(upright=True)(photo), np.asarray(upright))
    assert Preprocessing()(photo).shape == (*lying.size[::-1], 3)


@pytest.mark.parametrize(
    ("break_it", "error", "text"),
    [
        (lambda m: setattr(m, "preprocessing", None), ValueError, "set model.preprocessing"),
        (lambda m: setattr(m, "preprocessing", Preprocessing(color_mode="grayscale")), ShapeError, "color_mode"),
        (lambda m: setattr(m, "preprocessing", Preprocessing((9, 9))), ShapeError, "image_size"),
        (lambda m: setattr(m, "preprocessing", {"colour": "rgb"}), ValueError, "color_mode"),
        (lambda m: setattr(m, "class_names", ["a", "b"]), ValueError, "needs 3 names"),
        (lambda m: setattr(m, "class_names", ["a", "a", "b"]), ValueError, "different"),
        (lambda m: setattr(m, "class_names", "abc"), TypeError, "sequence of strings"),
    ],
)
def test_what_does_not_fit_is_refused(named_model, photo, break_it, error, text):
    with pytest.raises(error, match=text):
        break_it(named_model)
        named_model.predict_image(photo)


def test_an_array_of_numbers_up_to_1_is_warned_of(named_model, photo):
    pixels = np.asarray(Image.open(photo))
    with pytest.warns(UserWarning, match=r"pixels from 0 to 255: give x \* 255"):
        named_model.predict_image(pixels / 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plain in (pixels.astype(float), np.zeros_like(pixels, float), np.ones_like(pixels, float), pixels > 99):
            named_model.predict_image(plain)


def test_pictures_are_recognised_one_at_a_time(named_model, photo):
    for several in ([photo, photo], np.zeros((2, 12, 16, 3), np.uint8)):
        with pytest.raises(DataError, match="one at a time"):
            named_model.predict_image(several)


def test_a_file_that_is_no_picture_is_named(named_model, tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("no picture")
    with pytest.raises(DataError, match=r"notes\.jpg"):
        named_model.predict_image(path)
    with pytest.raises(FileNotFoundError):
        named_model.predict_image(tmp_path / "none.jpg")


# --------------------------------------------------------------------------------------------------------- in files


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_every_file_format_holds_names_and_preprocessing(named_model, photo, tmp_path, suffix):
    if suffix != ".safetensors":
        pytest.importorskip("h5py")
    path = tmp_path / f"model{suffix}"
    named_model.save(path)
    loaded = mc.load_model(path)
    assert loaded.class_names == NAMES
    assert loaded.preprocessing == Preprocessing(crop_to_aspect_ratio=True)
    assert loaded.predict_image(photo) == named_model.predict_image(photo)


def test_onnx_files_hold_them_as_properties(named_model, photo, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    mc.export_onnx(named_model, path)
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(properties["class_names"]) == NAMES
    read = mc.import_onnx(path)
    assert read.preprocessing == named_model.preprocessing
    assert read.predict_image(photo).probabilities == pytest.approx(named_model.predict_image(photo).probabilities)


@pytest.mark.parametrize("value", ["{'0': 'cat'}", "[1, 2, 3]", '["a", "b"]', "[" * 5000])
def test_properties_of_other_programs_are_left_alone(named_model, tmp_path, value):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    mc.export_onnx(named_model, path)
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {"class_names": value, "preprocessing": value})
    onnx.save(proto, path)
    assert mc.import_onnx(path).class_names is None


def test_a_page_has_them(named_model, tmp_path):
    path = tmp_path / "page.html"
    mc.export_html(named_model, path)
    text = path.read_text(encoding="utf-8")
    assert "<b>cat" not in text
    assert json.dumps(NAMES[1]) in text
    assert '"crop_to_aspect_ratio":true' in text
    assert '"range":[0.0,255.0]' in text


def test_copies_have_them(named_model):
    copied = pickle.loads(pickle.dumps(named_model))
    assert (copied.class_names, copied.preprocessing) == (NAMES, named_model.preprocessing)


@pytest.mark.parametrize(
    "described",
    [
        ["cat"],
        {"class_names": "cat"},
        {"class_names": [1, 2, 3]},
        {"class_names": ["a", "b"]},
        {"class_names": ["a" * 2000, "b", "c"]},
        {"preprocessing": {"image_size": [0, 3]}},
        {"preprocessing": {"image_size": [3, 3], "run": "rm"}},
        {"preprocessing": {"rescale": math.inf}},
        {"preprocessing": []},
    ],
)
def test_a_strangers_description_is_refused(named_model, tmp_path, monkeypatch, described):
    monkeypatch.setattr("minicnn.models.files.describe_pictures", lambda model: described)
    path = tmp_path / "model.safetensors"
    named_model.save(path)
    with pytest.raises(FileFormatError):
        mc.load_model(path)
