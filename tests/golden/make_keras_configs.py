"""Note down the configs of Keras's losses, metrics, optimizers and schedules, for test_keras_whole_configs.py.

In this folder, with Keras (3.15.1 on TensorFlow 2.21.0 wrote the file that is in the repository):

    python make_keras_configs.py
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from config_cases import CASES

configs = {case: eval(f"keras.{case}", {"keras": keras}).get_config() for case in CASES}
lines = [f"{json.dumps(case)}: {json.dumps(config)}" for case, config in configs.items()]
(HERE / "keras_configs.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
