"""Optimizers with all their options, and schedules, for what Keras makes of them. No tests here: `part_cases.py`."""

from part_cases import note, wave

SHAPES = (4, 3), (5,)
STEPS = 7

COMMON = [
    {},
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.6},
    {"use_ema": True},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 8.0},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "clipnorm": 0.5, "weight_decay": 0.05},
    {"learning_rate": "a schedule"},
    {"learning_rate": "a schedule", "weight_decay": 0.1},
]
"""Options of every optimizer."""

_MOMENTS = [{"beta_1": 0.7, "beta_2": 0.95, "epsilon": 0.01}]
_AMSGRAD = [{"amsgrad": True, "beta_2": 0.5}]
OWN = {
    "Adadelta": [{"rho": 0.7, "epsilon": 0.01}],
    "Adafactor": [
        {"relative_step": False},
        {"beta_2_decay": -0.5, "epsilon_1": 0.01, "epsilon_2": 0.1, "clip_threshold": 0.4},
    ],
    "Adagrad": [{"initial_accumulator_value": 0.5, "epsilon": 0.01}],
    "Adam": [*_MOMENTS, *_AMSGRAD],
    "AdamW": [*_MOMENTS, *_AMSGRAD],
    "Adamax": _MOMENTS,
    "Ftrl": [
        {"learning_rate_power": -0.3, "initial_accumulator_value": 0.4, "beta": 0.2},
        {"l1_regularization_strength": 0.05, "l2_regularization_strength": 0.1},
        {"l2_shrinkage_regularization_strength": 0.2},
    ],
    "Lamb": _MOMENTS,
    "Lion": [{"beta_1": 0.7, "beta_2": 0.8}],
    "Muon": [
        {"adam_beta_1": 0.7, "adam_beta_2": 0.9, "epsilon": 0.01, "adam_lr_ratio": 0.5, "adam_weight_decay": 0.2},
        {"muon_a": 3.0, "muon_b": -4.0, "muon_c": 1.8, "ns_steps": 3, "momentum": 0.8, "nesterov": False},
        {"rms_rate": 0.5, "exclude_layers": ["kernel"], "exclude_embeddings": False},
    ],
    "Nadam": _MOMENTS,
    "RMSprop": [
        {"rho": 0.7, "epsilon": 0.01},
        {"momentum": 0.6},
        {"centered": True},
        {"centered": True, "momentum": 0.6},
    ],
    "SGD": [{"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}, {"nesterov": True}],
}
"""Class → its own options."""

SCHEDULES = {
    "CosineDecay": [
        {"decay_steps": 8},
        {"decay_steps": 8, "alpha": 0.2},
        {"decay_steps": 8, "alpha": 0.1, "warmup_target": 0.9, "warmup_steps": 3},
    ],
    "CosineDecayRestarts": [
        {"first_decay_steps": 3},
        {"first_decay_steps": 3, "t_mul": 1.0, "m_mul": 0.8},
        {"first_decay_steps": 2, "t_mul": 1.5, "alpha": 0.1},
    ],
    "ExponentialDecay": [
        {"decay_steps": 4, "decay_rate": 0.5},
        {"decay_steps": 4, "decay_rate": 0.5, "staircase": True},
    ],
    "InverseTimeDecay": [
        {"decay_steps": 4, "decay_rate": 0.5},
        {"decay_steps": 4, "decay_rate": 0.5, "staircase": True},
    ],
    "PiecewiseConstantDecay": [{"boundaries": [2, 5, 8], "values": [1.0, 0.5, 0.2, 0.1]}],
    "PolynomialDecay": [
        {"decay_steps": 5},
        {"decay_steps": 5, "end_learning_rate": 0.1, "power": 2.0},
        {"decay_steps": 3, "end_learning_rate": 0.1, "power": 0.5, "cycle": True},
    ],
}
"""Schedule → options beside an initial rate of 0.5, which a piecewise constant one does not have."""


def first_weights():
    return [wave(shape, place, -0.5, 0.5) for place, shape in enumerate(SHAPES)]


def gradients(step):
    """Of very different sizes."""
    return [wave(shape, 3 * step + place) * (0.1, 1.0, 3.0)[step % 3] for place, shape in enumerate(SHAPES)]


def made(keras, name, options):
    """An optimizer of either library."""
    options = {"learning_rate": 0.05, **options}
    if options["learning_rate"] == "a schedule":
        options["learning_rate"] = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    return getattr(keras.optimizers, name)(**options)


def each():
    """(name of the case, class, options)"""
    for name, own in OWN.items():
        for options in COMMON + own:
            yield f"{name} {options}", name, options


def results(keras, name, options, by_apply=False):
    """Weights after the steps, the number of updates, and the weights after the end of a training.

    Keras's Muon takes float32 alone on TensorFlow.
    """
    dtype = "float32" if name == "Muon" else "float64"
    optimizer = made(keras, name, options)
    names = "kernel", "bias"
    variables = [
        keras.Variable(w.astype(dtype), name=n, dtype=dtype) for w, n in zip(first_weights(), names, strict=True)
    ]
    for step in range(STEPS):
        grads = [keras.ops.convert_to_tensor(g, dtype) for g in gradients(step)]
        if by_apply:
            optimizer.apply(grads, variables)
        else:
            optimizer.apply_gradients(zip(grads, variables, strict=True))
    found = [[note(v) for v in variables], int(optimizer.iterations)]
    optimizer.finalize_variable_values(variables)
    return [*found, [note(v) for v in variables]]


def each_schedule():
    """(name of the case, class, options)"""
    for name, cases in SCHEDULES.items():
        for options in cases:
            yield f"{name} {options}", name, options


def rates(keras, name, options):
    """The rates of twelve steps."""
    first = {} if name == "PiecewiseConstantDecay" else {"initial_learning_rate": 0.5}
    schedule = getattr(keras.optimizers.schedules, name)(**first, **options)
    return [note(schedule(step)) for step in range(12)]
