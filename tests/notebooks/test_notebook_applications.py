"""``keras.applications``: the networks that scripts train from random weights or load from files, and their pixels.

The numbers of weights are those that Keras's documentation lists; what they compute is compared in
`test_keras_oracle_files.py`.
"""

import numpy as np
import pytest
from minicnn.keras.applications.resnet50 import ResNet50

import minicnn as mc
from minicnn.errors import DataError
from minicnn.keras import applications, layers, models


@pytest.mark.parametrize(
    ("name", "weights", "without_top"),
    [
        ("VGG16", 138_357_544, 14_714_688),
        ("VGG19", 143_667_240, 20_024_384),
        ("ResNet50", 25_636_712, 23_587_712),
        ("ResNet101", 44_707_176, 42_658_176),
        ("ResNet152", 60_419_944, 58_370_944),
        ("DenseNet121", 8_062_504, 7_037_504),
        ("DenseNet169", 14_307_880, 12_642_880),
        ("DenseNet201", 20_242_984, 18_321_984),
    ],
)
def test_numbers_of_weights(name, weights, without_top):
    model = getattr(applications, name)(weights=None, include_top=False)
    assert model.count_params() == without_top and model.name == name.lower()
    features = {"V": 512, "R": 2048, "D": {"DenseNet121": 1024, "DenseNet169": 1664, "DenseNet201": 1920}.get(name)}
    assert model.output_shape == (None, None, None, features[name[0]])
    hidden = 25_088 * 4096 + 4096 + 4096 * 4096 + 4096 if name[0] == "V" else 0  # fc1 and fc2
    assert without_top + hidden + ((4096 if hidden else features[name[0]]) + 1) * 1000 == weights


@pytest.mark.parametrize(
    ("name", "weights", "called", "features"),
    [
        ("ResNet50V2", 25_613_800, "resnet50v2", 2048),
        ("Xception", 22_910_480, "xception", 2048),
        ("InceptionV3", 23_851_784, "inception_v3", 2048),
        ("MobileNet", 4_253_864, "mobilenet_1.00_224", 1024),
        ("MobileNetV2", 3_538_984, "mobilenetv2_1.00_224", 1280),
        ("EfficientNetB0", 5_330_571, "efficientnetb0", 1280),
        ("EfficientNetB3", 12_320_535, "efficientnetb3", 1536),
        ("NASNetMobile", 5_326_716, "nasnet_mobile", 1056),
        ("InceptionResNetV2", 55_873_736, "inception_resnet_v2", 1536),
        ("ConvNeXtTiny", 28_589_128, "convnext_tiny", 768),
        ("EfficientNetV2M", 54_431_388, "efficientnetv2-m", 1280),
    ],
)
def test_numbers_of_weights_with_the_top(name, weights, called, features):
    model = getattr(applications, name)(weights=None)
    assert (model.count_params(), model.name, model.output_shape) == (weights, called, (None, 1000))
    pooled = next(layer for layer in model.layers[::-1] if "GlobalAveragePooling2D" in type(layer).__name__)
    assert pooled.output.shape[-1] == features


def test_narrow_networks():
    model = applications.mobilenet_v2.MobileNetV2((96, 96, 3), 0.35, False, None, pooling="avg")
    assert model.output_shape == (None, 1280) and model.name == "mobilenetv2_0.35_96"
    assert model.get_layer("block_13_expand_relu").output.shape == (None, 6, 6, 192)
    model = applications.MobileNet(input_shape=(64, 64, 3), alpha=0.25, weights=None, classes=5, dropout=0.5)
    assert model.output_shape == (None, 5) and model.get_layer("conv_pw_13").filters == 256


def test_the_file_that_keras_has_downloaded(tmp_path, monkeypatch):
    """``weights="imagenet"`` looks first where Keras keeps it, under Keras's name."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    options = {"include_top": False, "input_shape": (32, 32, 3)}
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    with pytest.raises(DataError, match=f"{name} cannot be downloaded"):
        applications.MobileNetV2(alpha=0.35, **options)
    model = applications.MobileNetV2(alpha=0.35, weights=None, **options)
    model.save(tmp_path / "models" / name)
    loaded = applications.MobileNetV2(alpha=0.35, **options)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_top():
    model = applications.DenseNet121(weights=None, classes=3, input_shape=(32, 48, 3), name="own")
    assert model.output_shape == (None, 3) and model.name == "own"
    assert model.get_layer("predictions").count_params() == 1025 * 3
    model = applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="max")
    assert model.output_shape == (None, 512) and model.layers[1].name == "block1_conv1"


def test_one_trains_below_layers_of_ones_own():
    rng = np.random.default_rng(0)
    base = ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    base.trainable = False
    model = models.Sequential([base, layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    before = base.get_weights()[0].copy()
    history = model.fit(rng.random((4, 32, 32, 3)), [0, 1, 0, 1], epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all() and (base.get_weights()[0] == before).all()


def test_a_tensor_in_place_of_the_input():
    image = layers.Input((32, 32, 3))
    model = applications.VGG16(weights=None, include_top=False, input_tensor=layers.Rescaling(1 / 255)(image))
    assert model.input is image and model.output_shape == (None, 1, 1, 512)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"Received: weights='nowhere.h5'"):
        applications.ResNet50(weights="nowhere.h5")
    with pytest.raises(ValueError, match="sides of 32"):
        applications.ResNet50(weights=None, input_shape=(28, 28, 3))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_preprocessing(dtype):
    x = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3)).astype(dtype)
    given = x.copy()
    caffe = x[..., [2, 1, 0]] - np.array([103.939, 116.779, 123.68])
    torch = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = {"vgg16": caffe, "resnet50": caffe, "imagenet_utils": caffe, "densenet": torch}
    expected |= {"mobilenet_v2": x / 127.5 - 1, "xception": x / 127.5 - 1, "efficientnet": x}
    for module, pixels in expected.items():
        made = getattr(applications, module).preprocess_input(x)
        np.testing.assert_allclose(made, pixels, rtol=1e-5, atol=1e-4, err_msg=module)
    assert (x == given).all() and applications.vgg16.preprocess_input(x[0]).shape == (4, 5, 3)
    first = applications.vgg16.preprocess_input(x.transpose(0, 3, 1, 2), data_format="channels_first")
    np.testing.assert_allclose(first, caffe.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-4)
    with pytest.raises(ValueError, match="mode"):
        applications.imagenet_utils.preprocess_input(x, mode="cafe")


def test_preprocessing_of_a_models_tensor(tmp_path):
    """It is of operators, as in Keras: the list of layers and files have no layer of minicnn's own for it."""
    x = np.random.default_rng(2).integers(0, 256, (2, 4, 5, 3)).astype("float32")
    swapped = x.transpose(0, 3, 1, 2)
    image, first = layers.Input((4, 5, 3)), layers.Input((3, 4, 5))
    for module in (applications.vgg16, applications.densenet, applications.mobilenet):
        model = models.Model(image, layers.Flatten()(module.preprocess_input(image)))
        expected = module.preprocess_input(x).reshape(2, -1)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-4)
        assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Flatten"]
        model.save(tmp_path / "preprocessed.keras")
        again = models.load_model(tmp_path / "preprocessed.keras")
        np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
        turned = models.Model(first, module.preprocess_input(first, data_format="channels_first"))
        expected = module.preprocess_input(swapped, data_format="channels_first")
        np.testing.assert_allclose(turned.predict(swapped, verbose=0), expected, rtol=1e-5, atol=1e-4)


def test_a_factor_for_each_channel():
    layer = applications._convnext.LayerScale(0.5, 3)
    mc.testing.check_layer(layer, input_shape=(5, 4, 3))
    x = np.random.default_rng(4).random((2, 4, 3), "float32")
    made = applications._convnext.LayerScale(0.5, 3)
    made(x)
    made.set_weights([[1.0, 2.0, -3.0]])
    np.testing.assert_allclose(made(x), x * [1, 2, -3], rtol=1e-6)
    with pytest.raises(ValueError, match="3 channels"):
        applications._convnext.LayerScale(0.5, 3)(x[..., :2])


def test_convnext_without_the_top_ends_in_a_normalization():
    model = applications.convnext.ConvNeXtTiny(False, weights=None, input_shape=(32, 64, 3), pooling="avg")
    images = np.random.default_rng(5).uniform(0, 255, (2, 32, 64, 3))
    made = model.predict(images, verbose=0)
    assert made.shape == (2, 768)
    np.testing.assert_allclose(made.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(made.std(axis=-1), 1, atol=1e-2)
    darker = applications.ConvNeXtTiny(False, False, None, input_shape=(32, 64, 3))
    assert len(darker.layers) == len(model.layers) - 2  # no pooling, no preprocessing
