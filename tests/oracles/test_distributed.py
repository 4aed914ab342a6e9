"""Keras Tuner's own distributed search with our oracles: one process has the oracle, others train."""

import json
import os
import socket
import subprocess
import sys

import pytest

SCRIPT = '''
import json, os, pathlib, sys, time

import keras
import keras_tuner
import numpy as np

from tuner.oracles import ORACLES, RungTuner

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(40, 4)).astype("float32"), RANDOM.integers(0, 2, 40)


def meet(moment):
    """Waits for the other worker: who comes late would find no trial, or no chief."""
    (folder / f"{moment}-{os.environ['KERASTUNER_TUNER_ID']}").touch()
    while len(list(folder.glob(f"{moment}-tuner*"))) < 2:
        time.sleep(0.05)


class HyperModel(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        rate = hp.Float("learning_rate", 0.001, 0.5, sampling="log")
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"], run_eagerly=True)
        return model

    def fit(self, hp, *arguments, **options):
        meet("first")
        history = super().fit(hp, *arguments, **options)
        print(json.dumps([hp.values, history.epoch]), flush=True)
        return history


algorithm, folder = sys.argv[1], pathlib.Path(sys.argv[2])
objective = keras_tuner.Objective("val_accuracy", "max")
oracle = ORACLES[algorithm](objective=objective, max_epochs=3, max_trials=12, seed=0)
tuner = RungTuner(oracle, HyperModel(), directory=folder, project_name="shared")
if os.environ["KERASTUNER_TUNER_ID"] != "chief":  # which is here when all is over
    meet("ready")
tuner.search(X, Y, batch_size=40, validation_data=(X, Y), verbose=0)
'''


def _free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["freeze-thaw", "hyperband", "nsga2"])
def test_two_workers_share_the_trials_of_a_chief(algorithm, tmp_path):
    script = tmp_path / "search.py"
    script.write_text(SCRIPT)
    where = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(_free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, script, algorithm, tmp_path],
            env=os.environ | where | {"KERASTUNER_TUNER_ID": name},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("chief", "tuner0", "tuner1")
    ]
    try:
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0, 0]
    chief, *fits = ([json.loads(line) for line in each.splitlines()] for each in said)
    assert not chief
    assert min(map(len, fits)) >= 1
    assert len(fits[0]) + len(fits[1]) == 12
    for values, epochs in fits[0] + fits[1]:
        assert epochs == list(range(values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", 3)))
    continued = [values for values, _ in fits[0] + fits[1] if "tuner/trial_id" in values]
    assert bool(continued) == (algorithm != "nsga2")
