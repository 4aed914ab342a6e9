"""Balanced accuracy, against scikit-learn's."""

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tuner.metrics import BalancedAccuracy

LABELS = np.array([0] * 20 + [1] * 3 + [3] * 7)  # none of class 2


@pytest.fixture
def probabilities():
    return np.random.default_rng(0).dirichlet(np.ones(4), len(LABELS)).astype("float32")


@pytest.mark.parametrize("form", ["numbers", "column", "one-hot"])
def test_value_is_that_of_scikit_learn_however_labels_are_written(form, probabilities):
    labels = {"numbers": LABELS, "column": LABELS[:, None], "one-hot": np.eye(4)[LABELS]}[form]
    probabilities[:, 2] = 0.0  # scikit-learn warns where that is predicted
    metric = BalancedAccuracy(4)
    metric.update_state(labels, probabilities)
    expected = balanced_accuracy_score(LABELS, probabilities.argmax(axis=1))
    assert float(metric.result()) == pytest.approx(expected)


def test_batches_add_up_and_weights_count(probabilities):
    weights = np.random.default_rng(1).random(len(LABELS)).astype("float32")
    whole, parts = BalancedAccuracy(4), BalancedAccuracy(4)
    whole.update_state(LABELS, probabilities, weights)
    for start in range(0, len(LABELS), 8):
        part = slice(start, start + 8)
        parts.update_state(LABELS[part], probabilities[part], weights[part])
    hit = probabilities.argmax(axis=1) == LABELS
    recalls = [np.average(hit[label == LABELS], weights=weights[label == LABELS]) for label in (0, 1, 3)]
    assert float(whole.result()) == pytest.approx(np.mean(recalls), rel=1e-5)
    assert float(parts.result()) == pytest.approx(float(whole.result()), rel=1e-5)


@pytest.mark.parametrize("form", ["numbers", "column"])
def test_batch_of_as_many_numbers_as_there_are_classes_is_none_of_one_hot_targets(form):
    labels = np.array([3, 0, 1, 1])
    metric = BalancedAccuracy(4)
    metric.update_state(labels if form == "numbers" else labels[:, None], np.eye(4)[[3, 0, 1, 2]])
    assert float(metric.result()) == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_nothing_is_no_accuracy():
    assert float(BalancedAccuracy(3).result()) == 0.0


def test_metric_is_saved_with_a_model():
    metric = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(BalancedAccuracy(5)))
    assert (metric.classes, metric.name) == (5, "balanced_accuracy")
