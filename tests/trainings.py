"""What the tests of trainings share: a small schedule, exact states, and Keras's own training as the judge."""

import keras
import numpy as np
import pytest

from tuner.architecture import Architecture
from tuner.models import ModelConfig
from tuner.recipe import Recipe

BATCH, STEPS = 32, 4  # 120 images: three whole batches and one of 24
RECIPE = Recipe("sgd", 0.1, 1e-3, 0.1, average_momentum=0.75)

# A decay that would show in scales and biases, which it must spare, and an average of some four steps.
STRICT = {"learning_rate": 0.01, "weight_decay": 5.0, "label_smoothing": 0.1, "average_momentum": 0.75}


def architecture(optimizer="sgd", *, mixed_precision=False, **changes):
    """Returns a small network for the stripes, with `changes` of its `ModelConfig`."""
    plain = {"blocks": (1,), "width": 4, "se_ratio": 2, "stem": "small", "norm_momentum": 0.3, "se_bias": True}
    statistics = {"mean": (100.0,), "variance": (2500.0,)}
    published = {"conv_bias": False, "projection_norm": True}
    config = ModelConfig(input_shape=(8, 8, 1), classes=3, **plain | published | statistics | changes)
    return Architecture(config, optimizer, total_steps=9 * STEPS, batch_size=BATCH, mixed_precision=mixed_precision)


def bits(state):
    """Returns a training state so that equal means equal bit for bit."""
    return state.epoch, state.seed, [array.tobytes() for array in [*state.weights, *state.optimizer]]


def epochs(network, data, count):
    """Trains some epochs and returns the metrics of each."""
    return [network.train_epoch(data) for _ in range(count)]


def assert_goes_on_exactly(network, data, recipe, *, other, first=1, later=2):
    """Holds a training that another one interrupts to one in a single piece, bit for bit; returns its metrics."""
    network.reset(recipe, seed=5)
    through = epochs(network, data, first + later)
    end = network.state()

    network.reset(recipe, seed=5)
    pieces = epochs(network, data, first)
    state = network.state()
    network.reset(other, seed=6)
    epochs(network, data, 1)
    network.restore(recipe, state)
    pieces += epochs(network, data, later)

    assert pieces == through
    assert bits(network.state()) == bits(end)
    return through


def assert_trains_as_keras(network, keras_model, stripes, *, train, validation, class_weights=None):
    """Holds two epochs of a network that was reset with seed 5 to `fit` of a compiled model of the same weights."""
    keras_model.run_eagerly = True  # a few steps are faster than a trace

    # `fit` puts the average in the place of the weights when it ends, so both epochs are one call.
    fitted = keras_model.fit(
        _batches_of_study(stripes.train, seed=5, epochs=2, class_weights=class_weights),
        epochs=2,
        steps_per_epoch=STEPS,
        shuffle=False,
        validation_data=(stripes.validation.images.astype(np.float32), stripes.validation.labels),
        callbacks=[keras.callbacks.SwapEMAWeights()],
        verbose=0,
    ).history

    for epoch in range(2):
        metrics = network.train_epoch(train) | {f"val_{k}": v for k, v in network.evaluate(validation).items()}
        # Single precision, summed in another order, over 8 steps: an image may fall on another side (1/60).
        for name in ("loss", "val_loss"):
            assert metrics[name] == pytest.approx(fitted[name][epoch], rel=2e-3)
        for name in metrics.keys() - {"loss", "val_loss"}:
            assert metrics[name] == pytest.approx(fitted[name][epoch], abs=1 / 60)
        assert metrics.keys() == fitted.keys()
    for ours, theirs in zip(network.to_keras().get_weights(), keras_model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=2e-3)


def _batches_of_study(split, *, seed, epochs, class_weights):
    """Yields the batches in the order of a study's trainings, which a change would make impossible to continue."""
    weights = np.ones(3) if class_weights is None else np.array(class_weights)
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(split.labels))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            yield split.images[chosen].astype(np.float32), split.labels[chosen], weights[split.labels[chosen]]
