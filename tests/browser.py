"""A real browser for tests of pages, and what a page should compute. No tests here."""

import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers
from minicnn.layers.one_off import run_steps
from minicnn.plan.program import lower

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
TOLERANCE = 1e-4  # of a value's largest number


def start(playwright):
    """A headless Chromium: the system's, else the one that Playwright has installed; skips where there is none."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    try:
        arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        return playwright.chromium.launch(executable_path=path, args=arguments)
    except playwright_error() as error:
        pytest.skip(f"no Chromium starts here: {str(error).splitlines()[0]}")


def playwright_error():
    """The class of Playwright's errors."""
    return pytest.importorskip("playwright.sync_api").Error


def opened(browser, path, **options):
    """A page of its own on a file, once it is ready.

    What goes wrong in it, and every address that it asks for, is kept in its ``problems`` and ``requests``, lists of
    str.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-US", **options})
    page = context.new_page()
    page.problems, page.requests = [], []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(Path(path).as_uri())
    wait_until(page, "window.minicnn !== undefined")
    return page


def wait_until(page, condition, seconds=60):
    """Wait for an expression of JavaScript; Playwright's own way needs what a page's policy forbids, `eval`."""
    page.evaluate(
        f"""async () => {{
            const end = performance.now() + {1000 * seconds};
            while (!({condition})) {{
                if (performance.now() > end) throw new Error("it never came true");
                await new Promise(requestAnimationFrame);
            }}
        }}"""
    )


def reference_values(model, x):
    """All values of a model for one input, as the reference backend computes them step by step; None for its input.

    Parameters
    ----------
    model : Model
    x : array
        One sample.
    """
    program = lower(model.graph)
    values = [None] * len(program.shapes)
    values[program.inputs[0]] = np.asarray(x, np.float32)[None]
    for place in program.places:
        xs = [values[i] for i in place.inputs]
        values[place.output] = run_steps([place.step], xs, "float32", training=False, count=0)
    return [value[0] for value in values]


def assert_same_values(page, model, x):
    """Every value of the page, not only its outputs, is the reference's; behind them are those within attention."""
    found = page.evaluate("x => minicnn.run(x)", np.ravel(x).astype(np.float32).tolist())
    expected = reference_values(model, x)
    assert len(found) >= len(expected)
    for number, (ours, reference) in enumerate(zip(found, expected, strict=False)):
        ours = np.array([np.nan if v is None else v for v in ours], np.float64)  # JSON has no NaN
        reference = reference.astype(np.float64).ravel()
        assert ours.shape == reference.shape, number
        scale = max(np.abs(reference[np.isfinite(reference)]).max(initial=0), 1e-30)
        np.testing.assert_allclose(ours, reference, rtol=0, atol=TOLERANCE * scale, err_msg=f"value {number}")


def around(layer, shapes):
    """A model whose only input is an image, of which a layer's inputs are parts."""
    sizes = [math.prod(shape) for shape in shapes]
    width = min(64, sum(sizes))
    height = -(-sum(sizes) // width)
    image = mc.Input((height, width, 1))
    row = layers.Reshape((-1, 1))(image)
    starts = np.cumsum([0, *sizes])
    parts = [
        layers.Reshape(shape)(layers.Cropping1D((int(start), height * width - int(start) - size))(row))
        for start, size, shape in zip(starts, sizes, shapes, strict=False)
    ]
    return mc.Model(image, layer(parts[0] if len(parts) == 1 else parts))


def branched():
    """Two branches, a shortcut, a layer that is used twice, normalization, a nested model, and two outputs."""
    image = mc.Input((12, 10, 3), name="photo")
    twice = layers.Conv2D(4, 3, padding="same", activation="tanh", name="twice")
    first = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, padding="same", name="first")(image))
    left = layers.Add(name="shortcut")([first, twice(layers.ReLU(name="relu")(first))])
    right = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="gelu", name="depth")(image)
    right = twice(layers.Conv2D(4, 1, name="mix")(right))
    both = layers.Concatenate(name="both")([left, right])
    inner = mc.Sequential(
        [mc.Input((12, 10, 8)), layers.MaxPooling2D(3, strides=2, padding="same"), layers.Dropout(0.5)]
    )
    pooled = inner(both)
    mean = layers.GlobalAveragePooling2D(name="mean")(pooled)
    largest = layers.GlobalMaxPooling2D(name="largest")(pooled)
    classes = layers.Dense(4, activation="softmax", name="classes")(layers.Multiply(name="product")([mean, largest]))
    return mc.Model(image, [classes, layers.Dense(2, name="numbers")(mean)], name="branched")
