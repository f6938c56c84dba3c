"""What all tests share: seeds that are printed, data, a clean state, and which tests a machine cannot run."""

import os
import secrets
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from minicnn import backends, random, settings, threads
from minicnn.layers import base

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside the checkout
if DATA.is_dir():
    os.environ.setdefault("MINICNN_DATA", str(DATA))

hypothesis.settings.register_profile("minicnn", deadline=None, max_examples=50, print_blob=True)
hypothesis.settings.load_profile("minicnn")

SETTINGS = (random._state, backends._chosen, threads._chosen, settings._settings)  # all that a test may leave changed


# --------------------------------------------------------------------------------------------------------- seeds


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, help="of all random numbers, Hypothesis's too (default: drawn and printed)")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its option
def pytest_configure(config):
    if config.option.seed is None:
        config.option.seed = secrets.randbits(32)
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(config.option.seed)


def pytest_report_header(config):
    return f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"


@pytest.fixture
def seed(request):
    """A seed for this test: a function of the run's seed and of the test's name."""
    value = zlib.crc32(f"{request.config.option.seed} {request.node.nodeid}".encode())
    print(f"seed of this test: {value} (run with --seed {request.config.option.seed})")
    return value


@pytest.fixture
def rng(seed):
    """A NumPy generator of this test's own."""
    return np.random.default_rng(seed)


# --------------------------------------------------------------------------------------------------------- state


@pytest.fixture(autouse=True)
def _same_state(request):
    """Every test starts from the same settings and layer names, and its own seed; it leaves no setting changed."""
    before = [dict(setting) for setting in SETTINGS]
    random.set_seed(zlib.crc32(f"{request.config.option.seed} {request.node.nodeid}".encode()))
    base.reset_names()
    yield
    for setting, values in zip(SETTINGS, before, strict=True):
        setting.clear()
        setting.update(values)


# ------------------------------------------------------------------------------------------------------- devices
