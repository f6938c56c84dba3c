"""What public scripts of 2015 to 2020 rest on: detectors, style transfer, GANs, ensembles, books and their courses."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


# ------------------------------------------------------------------------------- shapes of what a function will give


def test_parts_of_samples_and_gradients_have_shapes():
    """`assert K.ndim(x) == 3` of Keras's neural_style_transfer.py, and sizes that its losses divide by."""
    inputs = keras.Input((8, 6, 3))
    features = layers.Conv2D(4, 3)(inputs)  # (N, 6, 4, 4)
    gram = K.dot(K.batch_flatten(K.permute_dimensions(features[0], (2, 0, 1))), K.transpose(K.ones((4, 24))))
    gradient = K.gradients(K.mean(features[..., 1]), inputs)[0]
    assert (K.ndim(features[2, :, :, :]), K.int_shape(features[2])) == (3, (6, 4, 4))
    assert K.int_shape(features[70]) == (6, 4, 4)  # behind more samples than shapes are first tried with
    assert (K.int_shape(gram), gram.ndim) == ((4, 4), 2)
    assert (gradient.shape, K.ndim(gradient)) == ((None, 8, 6, 3), 4)
    assert K.int_shape(K.mean(gradient, axis=(0, 1, 2))) == (3,)


def test_open_sizes_of_parts_are_open():
    features = layers.Conv2D(4, 3)(keras.Input((None, None, 3)))
    assert K.int_shape(features[0]) == (None, None, 4)
    assert K.int_shape(K.batch_flatten(K.permute_dimensions(features[0], (2, 0, 1)))) == (4, None)


# ----------------------------------------------------------------------- weights of classes for each of several outputs


def two_outputs():
    inputs = keras.Input((3,))
    valid = layers.Dense(1, activation="sigmoid", kernel_initializer="ones", name="valid")(inputs)
    label = layers.Dense(2, activation="softmax", kernel_initializer="ones", name="label")(inputs)
    model = keras.Model(inputs, [valid, label])
    model.compile(keras.optimizers.SGD(0.0), ["mse", "categorical_crossentropy"])
    x = np.arange(12, dtype=np.float32).reshape(4, 3) / 12
    targets = [np.array([[1], [0], [0], [1]]), np.eye(2)[[0, 1, 1, 1]]]
    p = 1 / (1 + np.exp(-x.sum(axis=1)))  # (4,)
    return model, x, targets, (p - [1, 0, 0, 1]) ** 2, np.full(4, np.log(2))  # the losses of samples


BY_OUTPUT = [{0: 1.0, 1: 3.0}, {0: 0.5, 1: 2.0}]
WEIGHTS = np.array([3, 1, 1, 3.0]), np.array([0.5, 2, 2, 2])  # of the samples


@pytest.mark.parametrize("class_weight", [BY_OUTPUT, dict(zip(("valid", "label"), BY_OUTPUT, strict=True))])
def test_a_semi_supervised_gan_weighs_the_classes_of_both_outputs(class_weight):
    """`class_weight=[cw1, cw2]` of Keras-GAN's sgan.py; Keras 2 took a dict by names as well."""
    model, x, targets, squares, entropies = two_outputs()
    expected = [np.mean(WEIGHTS[0] * squares), np.mean(WEIGHTS[1] * entropies)]
    found = model.train_on_batch(x, targets, class_weight=class_weight)
    np.testing.assert_allclose(found, [sum(expected), *expected], rtol=1e-5)
    history = model.fit(x, targets, class_weight=class_weight, batch_size=4, verbose=0).history
    np.testing.assert_allclose(history["loss"], sum(expected), rtol=1e-5)
    steps = model.fit_generator(iter([(x, targets)] * 2), steps_per_epoch=2, class_weight=class_weight, verbose=0)
    np.testing.assert_allclose(steps.history["loss"], sum(expected), rtol=1e-5)


def test_they_multiply_weights_of_samples_and_may_leave_an_output_out():
    model, x, targets, squares, entropies = two_outputs()
    own = np.array([1, 2, 3, 4.0])
    found = model.train_on_batch(x, targets, sample_weight=[own, own], class_weight={"valid": BY_OUTPUT[0]})
    np.testing.assert_allclose(found[1:], [np.mean(own * WEIGHTS[0] * squares), np.mean(own * entropies)], rtol=1e-5)


def test_of_one_output_they_may_be_in_a_list():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    y = np.array([0.0, 1, 1])
    assert model.train_on_batch(np.zeros((3, 1)), y, class_weight=[{0: 1, 1: 4}]) == pytest.approx(8 / 3)


def test_classes_as_text_are_no_outputs(recwarn):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"the keys of class_weight are class numbers from 0 on\. Received: '0'"):
        model.fit(np.zeros((2, 1)), np.array([0, 1]), class_weight={"0": 1.0, "1": 2.0}, verbose=0)
    assert not recwarn.list


def test_what_is_no_weight_of_an_output_says_so():
    model, x, targets, _, _ = two_outputs()
    with pytest.raises(ValueError, match=r"class_weight of 2 outputs is a list of as many\. Received: 1"):
        model.fit(x, targets, class_weight=[{0: 1}])
    with pytest.raises(ValueError, match=r"by the names of outputs.*Received: \['fake'\]"):
        model.fit(x, targets, class_weight={"fake": {0: 1}})
    with pytest.raises(ValueError, match="beside arrays and generators"):
        model.fit(K.tf.data.Dataset.from_tensors((x, tuple(targets))), class_weight=BY_OUTPUT)


# ------------------------------------------------------------------------------------- names that scripts count on


def test_a_monitor_of_trainings_is_a_base_logger():
    """TrainingMonitor of PyImageSearch's books keeps the averages of every epoch."""

    class TrainingMonitor(keras.callbacks.BaseLogger):
        def on_train_begin(self, logs={}):  # noqa: B006, as scripts have it
            self.H = {}

        def on_epoch_end(self, epoch, logs={}):  # noqa: B006
            for k, v in logs.items():
                self.H[k] = [*self.H.get(k, []), float(v)]

    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    monitor = TrainingMonitor()
    history = model.fit(np.ones((10, 2)), np.ones(10), batch_size=4, epochs=2, callbacks=[monitor], verbose=0).history
    assert dict(history) == monitor.H


def test_layers_and_models_are_renamed_by_an_attribute_of_keras_2():
    """`layer._name = …` of ensembles, whose members' layers have the same names otherwise."""
    members = []
    for i in range(2):
        inputs = keras.Input((3,), name="in")
        members.append(keras.Model(inputs, layers.Dense(2, name="dense")(inputs), name="net"))
        for layer in members[-1].layers:
            layer._name = f"ensemble_{i}_{layer.name}"
        members[-1]._name = f"member/{i}"
    both = keras.Model([m.input for m in members], layers.add([m.output for m in members]))
    assert [m.name for m in members] == ["member_0", "member_1"]
    assert both.get_layer("ensemble_1_dense")._name == "ensemble_1_dense"
    with pytest.raises(ValueError, match="a name is a string"):
        both._name = 3


def test_what_the_backend_of_keras_2_had_imported():
    """`K.control_flow_ops.while_loop` of keras-yolo3."""
    assert K.control_flow_ops.while_loop(lambda i: i < 5, lambda i: [i + 2], [0])[0] == 6
    assert K.tf.reduce_sum is K.math_ops.reduce_sum


# ------------------------------------------------------------------------------------ a loss that a layer computes


def test_a_detectors_loss_is_one_number_that_a_layer_gives():
    """`Lambda(yolo_loss, output_shape=(1,))` of keras-yolo3, whose model's loss hands its output on."""

    def yolo_loss(args, factor):
        predicted, wanted = args
        return factor * K.sum(K.square(predicted - wanted)) / K.cast(K.shape(predicted)[0], "float32")

    x, wanted = np.linspace(-1, 1, 8).reshape(4, 2).astype(np.float32), np.ones((4, 2), np.float32)
    inputs, truth = keras.Input((2,)), keras.Input((2,))
    body = layers.Dense(2, kernel_initializer="ones", name="body")
    loss = layers.Lambda(yolo_loss, output_shape=(1,), name="yolo_loss", arguments={"factor": 0.5})
    model = keras.Model([inputs, truth], loss([body(inputs), truth]))
    model.compile(keras.optimizers.SGD(0.1), loss={"yolo_loss": lambda y_true, y_pred: y_pred})
    error = x @ np.ones((2, 2)) - wanted  # (4, 2)
    found = model.train_on_batch([x, wanted], np.zeros(4))
    np.testing.assert_allclose(found, 0.5 * np.sum(error**2) / 4, rtol=1e-5)
    np.testing.assert_allclose(body.get_weights()[0], 1 - 0.1 * x.T @ error / 4, rtol=1e-5)


def test_one_number_of_a_lambda_without_that_shape_is_refused():
    with pytest.raises(ValueError, match="as many samples as it gets"):
        layers.Lambda(lambda x: np.sum(np.asarray(x)))(keras.Input((2,)))
