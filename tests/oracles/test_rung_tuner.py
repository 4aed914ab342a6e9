"""A stock Keras Tuner script with one of our oracles: trials have the epochs that the oracle gives them."""

import keras
import keras_tuner
import numpy as np
import pytest

from oracles.driving import WARNINGS
from tuner.oracles import Asha, FreezeThaw, Random, RungTuner

pytestmark = WARNINGS

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(40, 4)).astype("float32"), RANDOM.integers(0, 2, 40)


class HyperModel(keras_tuner.HyperModel):
    """A dense layer; writes down what it is asked to train."""

    def __init__(self):
        super().__init__()
        self.fits = []

    def build(self, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        rate = hp.Float("learning_rate", 0.001, 0.5, sampling="log", default=0.01)
        model.compile(
            keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True
        )
        return model

    def fit(self, hp, model, *arguments, callbacks, **options):
        weights = [model.get_weights()[0]]
        keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: weights.append(model.get_weights()[0]))
        history = model.fit(*arguments, callbacks=[*callbacks, keep], **options)
        self.fits.append((dict(hp.values), history.epoch, weights))
        return history


def _search(kind, folder, **options):
    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 0.001, 0.5, sampling="log", default=0.01)
    objective = keras_tuner.Objective("val_accuracy", "max")
    oracle = kind(objective=objective, hyperparameters=hp, max_epochs=3, seed=0, **options)
    hypermodel = HyperModel()
    tuner = RungTuner(oracle, hypermodel, directory=folder, project_name="stock")
    tuner.search(X, Y, batch_size=40, validation_data=(X, Y), verbose=0)
    return tuner, hypermodel.fits


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Asha, FreezeThaw])
def test_trial_has_the_epochs_of_its_rung_and_goes_on_from_its_parent(kind, tmp_path):
    tuner, fits = _search(kind, tmp_path, max_total_epochs=20)
    by_name = dict(zip(tuner.oracle.start_order, fits, strict=True))
    continued = [values for values, _, _ in fits if "tuner/trial_id" in values]
    assert len(continued) >= 2
    for values, epochs, weights in fits:
        assert epochs == list(range(values["tuner/initial_epoch"], values["tuner/epochs"]))
        if "tuner/trial_id" in values:
            _, _, before = by_name[values["tuner/trial_id"]]
            assert any(np.array_equal(weights[0], each) for each in before[1:])
    assert sum(len(epochs) for _, epochs, _ in fits) <= 20


@pytest.mark.slow
def test_trial_without_rungs_has_all_epochs(tmp_path):
    _, fits = _search(Random, tmp_path, max_trials=2)
    assert [epochs for _, epochs, _ in fits] == [[0, 1, 2]] * 2


@pytest.mark.slow
def test_worker_of_a_distributed_search_has_no_oracle_but_a_client(tmp_path, monkeypatch):
    tuner, _ = _search(Random, tmp_path, max_trials=1)
    trained = []
    monkeypatch.setattr(keras_tuner.Hyperband, "run_trial", lambda self, trial, **options: trained.append(options))
    tuner.oracle = object()  # Keras Tuner's client has a few of an oracle's attributes
    tuner.run_trial(None, verbose=0)
    assert trained == [{"epochs": 3, "verbose": 0}]


@pytest.mark.parametrize("kind", [Asha, Random])
def test_other_epochs_than_those_of_the_oracle_are_refused(kind, tmp_path):
    oracle = kind(objective="val_accuracy", max_epochs=3, max_trials=1)
    tuner = RungTuner(oracle, HyperModel(), directory=tmp_path, project_name="stock")
    with pytest.raises(ValueError, match="epochs is 7, and the oracle trains a configuration for 3"):
        tuner.search(X, Y, epochs=7)
    assert tuner.oracle.trials == {}
