"""What workers do in tests/test_distribution.py: trainings that print, as JSON, what has become of them.

mpiexec -n 2 python tests/distributed_training.py TRAINING[,…] [SHARDS [THREADS]]
"""

import hashlib
import json
import os
import sys

import networks
import numpy as np

import minicnn as mc
from minicnn import layers

SAMPLES = 70  # batches of 32 end with one of 6: shards of 4 and 2 samples


def digest(*arrays):
    """Characters that differ where a bit does."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def images(shape, classes, seed=5, count=SAMPLES):
    """Random images and labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *shape)).astype(np.float32), rng.integers(0, classes, count)


def lenet5():
    """LeNet-5."""
    return mc.Sequential([mc.Input((28, 28, 1)), *mc.networks.lenet5((28, 28, 1), 10)])


def drawing():
    """A network of everything that draws random numbers, and of batch normalization."""
    return mc.Sequential(
        [
            mc.Input((14, 14, 1)),
            layers.RandomRotation(0.1),
            layers.RandomBrightness(0.1, value_range=(-1, 1)),
            layers.RandomErasing(value_range=(-1, 1)),
            layers.Conv2D(5, 3, use_bias=False, activity_regularizer="l2"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SpatialDropout2D(0.2),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(9, activation="tanh", kernel_regularizer="l2"),
            layers.GaussianNoise(0.1),
            layers.AlphaDropout(0.2),
            layers.Dropout(0.3),
            layers.Dense(4, activation="softmax"),
        ]
    )


def synchronized():
    """Batch normalization by the moments of whole batches: alone, and with what merges with it."""
    inputs = mc.Input((8, 8, 2))
    x = layers.Conv2D(5, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(synchronized=True)(x))
    y = layers.BatchNormalization(synchronized=True, scale=False)(layers.Conv2D(5, 3, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()([x, y])))
    shared = layers.Dense(7, kernel_regularizer="l2")
    x = layers.Dropout(0.1)(shared(layers.BatchNormalization(synchronized=True)(layers.Dense(5)(shared(x)))))
    return mc.Model(inputs, layers.Dense(4, activation="softmax")(layers.BatchNormalization(synchronized=True)(x)))


def net_2():
    """The network without pooling of the course documents, on small images: 0.2 million parameters."""
    return networks.d2(mc, (12, 12, 3), pooling=False)


def trained(build, shape, classes, optimizer="adam", epochs=2):
    """Digests and numbers of a training, its validation, an evaluation and a prediction."""
    mc.utils.set_random_seed(3)
    model, (x, y) = build(), images(shape, classes)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, 32, epochs, 0, validation_split=0.1).history
    scores = model.evaluate(x, y, verbose=0)
    outputs = [model.predict(x), *(model.predict(x[:3]) for _ in range(2))]  # the last ones have work for one worker
    return {"weights": digest(*model.get_weights()), "outputs": digest(*outputs), "logs": [history, scores]}


def step():
    """The weights after one update with weights of samples and a loss that is a sum: in shards, and as a whole."""
    (x, y), found = images((14, 14, 1), 4, count=23), {}
    for name in either_way():
        model = mc.Sequential(
            [
                mc.Input((14, 14, 1)),
                layers.RandomTranslation(0.2, 0.2),
                layers.Conv2D(5, 3, activity_regularizer="l2"),
                layers.Flatten(),
                layers.Dropout(0.3),
                layers.Dense(4, activation="softmax", kernel_regularizer="l2"),
            ]
        )
        loss = mc.losses.SparseCategoricalCrossentropy(reduction="sum")
        model.compile(mc.optimizers.SGD(1e-3), loss)
        total = model.train_on_batch(x, y, sample_weight=np.linspace(0.5, 2, len(x)))
        found[name] = [total / 100, *np.concatenate([w.ravel() for w in model.get_weights()]).tolist()]
    return found


def steps():
    """The weights, in float64, after updates of a network with synchronized batch normalization, either way."""
    (x, y), found = images((8, 8, 2), 4, count=23), {}
    mc.utils.set_floatx("float64")
    for name in either_way():
        model = synchronized()
        model.compile(mc.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        losses = [model.train_on_batch(3 * x + 2, y) for _ in range(3)]
        found[name] = [*losses, *np.concatenate([w.ravel() for w in model.get_weights()]).tolist()]
    mc.utils.set_floatx("float32")
    return found


def either_way():
    """In shards, then as a whole: the name, while it is so."""
    chosen = mc.distribution.distribution()
    for name, value in (("shards", chosen), ("whole", None)):
        mc.distribution.set_distribution(value)
        mc.utils.set_random_seed(3)
        yield name
    mc.distribution.set_distribution(chosen)


TRAININGS = {
    "lenet5": lambda: trained(lenet5, (28, 28, 1), 10, "sgd"),
    "drawing": lambda: trained(drawing, (14, 14, 1), 4),
    "synchronized": lambda: trained(synchronized, (8, 8, 2), 4, "sgd"),
    "net_2": lambda: trained(net_2, (12, 12, 3), 10, epochs=1),
}
OTHERS = {"step": step, "steps": steps}


def main():
    """Run the trainings that the command line names, or all."""
    name, shards, threads = (*sys.argv[1:], None, None)[:3]
    mc.distribution.initialize(timeout=float(os.environ.get("TIMEOUT", "120")))
    mc.distribution.set_distribution(mc.distribution.DataParallel(int(shards or 8)))
    if threads:
        mc.set_num_threads(int(threads))
    names = TRAININGS if name == "all" else name.split(",")
    print(json.dumps({name: (TRAININGS | OTHERS)[name]() for name in names}))


if __name__ == "__main__":
    main()
