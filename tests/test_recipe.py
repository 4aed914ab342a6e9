"""The schedule, the loss and the statistics of a training, against numbers from outside."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from tuner.models import ModelConfig, build_model
from tuner.recipe import (
    AVERAGED_EPOCHS,
    OPTIMIZER_SLOTS,
    Recipe,
    SmoothedCrossentropy,
    WarmupCosine,
    average_momentum,
    balancing_weights,
    compile_model,
    norm_momentum,
    progress_exponent,
)

STEPS = {"batch_size": 64, "steps_per_epoch": 40}
CONFIG = ModelConfig(input_shape=(8, 8, 1), classes=3, blocks=(1,), width=4, se_ratio=4, stem="small")


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        # 5 % of 200 steps rise in equal parts to the peak; half a cosine falls over the other 190.
        (0, 0.05),
        (4, 0.25),
        (9, 0.5),
        (10, 0.5),
        (105, 0.25),
        (10 + 190 / 3, 0.375),  # cos(60 degrees) = 1/2
        (200, 0.0),
        (500, 0.0),
    ],
)
def test_rate_rises_and_falls_along_a_cosine(step, rate):
    assert float(WarmupCosine(0.5, 200)(step)) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize("sizes", [(50, 50), (90, 10), (7, 1, 100)])
def test_class_weights_are_those_of_scikit_learn(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    expected = compute_class_weight("balanced", classes=np.arange(len(sizes)), y=labels)
    assert balancing_weights(sizes) == pytest.approx(tuple(expected))
    assert np.mean(np.array(expected)[labels]) == pytest.approx(1.0)


def test_class_without_images_takes_nothing_from_the_others():
    assert balancing_weights((30, 0, 10)) == pytest.approx((2 / 3, 1.0, 2.0))


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (9, 0.5),
        (10, 0.5),
        (10 + 190 / 9, 0.375),  # the root of a ninth is a third: cos(60 degrees) = 1/2
        (10 + 190 / 4, 0.25),
        (200, 0.0),
        (500, 0.0),
    ],
)
def test_rate_falls_sooner_with_a_root_of_the_progress(step, rate):
    assert float(WarmupCosine(0.5, 200, 0.5)(step)) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(
    ("epochs", "exponent"), [(1, 1.0), (9, 1.0), (16, 0.75), (27, 3**-0.5), (36, 3**-0.5), (300, 3**-0.5)]
)
def test_rates_of_long_trainings_fall_sooner(epochs, exponent):
    assert progress_exponent(epochs) == pytest.approx(exponent)


@pytest.mark.parametrize("exponent", [1.0, 0.5])
@pytest.mark.parametrize("total_steps", [1, 2, 7, 20, 207])
def test_rate_is_positive_at_every_step_of_the_budget(total_steps, exponent):
    rates = [float(WarmupCosine(1.0, total_steps, exponent)(step)) for step in range(total_steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) == pytest.approx(1.0)


def test_many_steps_give_many_rates():
    schedule = WarmupCosine(0.5, 200)
    rates = schedule(tf.range(200)).numpy()
    assert rates.tolist() == pytest.approx([float(schedule(step)) for step in range(200)], rel=1e-6)


def test_rate_does_not_know_the_rung():
    # Only the full budget is an argument; a trial that ends at a rung and one that goes on share every rate.
    model = compile_model(build_model(CONFIG), Recipe("sgd", 0.5), total_steps=90)
    rates = []
    for step in (0, 9, 10, 30, 89):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    assert rates == pytest.approx([float(WarmupCosine(0.5, 90)(step)) for step in (0, 9, 10, 30, 89)])


def test_schedule_and_loss_survive_keras():
    schedule = WarmupCosine(0.5, 200, 0.75)
    again = WarmupCosine.from_config(schedule.get_config())
    assert float(again(50)) == float(schedule(50))
    assert SmoothedCrossentropy.from_config(SmoothedCrossentropy(0.1).get_config()).smoothing == 0.1


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("form", ["numbers", "column of numbers", "one-hot"])
def test_loss_equals_its_definition(smoothing, form):
    random = np.random.default_rng(0)
    logits = random.normal(size=(7, 5))
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    numbers = random.integers(0, 5, 7)
    # Szegedy et al., 2016, section 7: q'(k) = (1 - e) q(k) + e / K; the loss is the cross-entropy with q'.
    target = (1 - smoothing) * np.eye(5)[numbers] + smoothing / 5
    expected = -(target * np.log(probabilities)).sum(1)
    forms = {"numbers": numbers, "column of numbers": numbers[:, None], "one-hot": np.eye(5, dtype=np.float32)[numbers]}
    given, loss = forms[form], SmoothedCrossentropy(smoothing)
    np.testing.assert_allclose(loss.call(given, probabilities), expected, rtol=1e-5)
    assert float(loss(given, probabilities)) == pytest.approx(expected.mean(), rel=1e-5)


def test_loss_of_as_many_images_as_classes_takes_their_numbers():
    probabilities = np.full((3, 3), 0.1, np.float32) + 0.7 * np.eye(3, dtype=np.float32)
    assert float(SmoothedCrossentropy()(np.array([0, 1, 2]), probabilities)) == pytest.approx(-math.log(0.8), rel=1e-5)


def test_loss_without_smoothing_is_that_of_keras():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    theirs = keras.losses.SparseCategoricalCrossentropy()(np.array([0, 1]), probabilities)
    assert float(SmoothedCrossentropy()(np.array([0, 1]), probabilities)) == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize(
    ("steps", "momentum"),
    [
        (1, 0.01),
        (2, 0.1),
        (4, 0.01**0.25),
        (23, math.exp(math.log(0.01) / 23)),
        (458, 0.989995),
        (459, 0.99),
        (10**6, 0.99),
    ],
)
def test_one_epoch_replaces_all_but_a_hundredth_of_the_statistics(steps, momentum):
    # 23 steps: digits in batches of 64. 459: the first count at which 0.01 ** (1 / n) exceeds Keras's 0.99.
    assert norm_momentum(steps) == pytest.approx(momentum, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 5, 23, 100, 458])
def test_stale_share_after_an_epoch_is_a_hundredth(steps):
    assert norm_momentum(steps) ** steps == pytest.approx(0.01)


@pytest.mark.parametrize("optimizer", OPTIMIZER_SLOTS)
def test_decay_spares_biases_and_normalisation(optimizer):
    model = compile_model(build_model(CONFIG), Recipe(optimizer, 0.1, weight_decay=0.5), total_steps=10)
    model.optimizer.build(model.trainable_variables)
    decays = [v.path for v in model.trainable_variables if model.optimizer._use_weight_decay(v)]
    assert decays
    assert {path.rsplit("/", 1)[-1] for path in decays} == {"kernel"}


def test_default_recipe_is_that_of_the_paper():
    # Hu et al., 2018, section 6.1: 0.6 for batches of 1,024 images, weight decay 0.0001.
    assert Recipe.from_values({"averaged_epochs": 0}, **{**STEPS, "batch_size": 1024}) == Recipe("sgd", 0.6, 1e-4, 0.0)
    assert Recipe.from_values({}, **STEPS).learning_rate == pytest.approx(0.0375)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("weight_decay", -1e-9, "0 and more"),
        ("label_smoothing", -1e-9, "0 and more, below 1"),
        ("label_smoothing", 1, "0 and more, below 1"),
        ("translation", -1e-9, "0 and more, below 1"),
        ("translation", 1, "0 and more, below 1"),
    ],
)
def test_number_beyond_its_range_is_refused(name, value, allowed):
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; allowed is {allowed}[.]$"):
        Recipe("sgd", 0.1, **{name: value})


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "label_smoothing"])
def test_values_go_into_the_recipe(name):
    assert getattr(Recipe.from_values({"optimizer": "adam", name: 0.125}, **STEPS), name) == 0.125


def test_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer is 'lamb'; allowed is one of sgd, adam"):
        Recipe("lamb", 0.1)


@pytest.mark.parametrize("rate", [0.0, -0.1, 0])
@pytest.mark.parametrize("name", ["learning_rate", "sgd_learning_rate"])
def test_rate_that_is_not_above_zero_is_refused(name, rate):
    with pytest.raises(ValueError, match=f"learning_rate is {rate!r}; allowed is a number above 0"):
        Recipe.from_values({name: rate}, batch_size=64, steps_per_epoch=10)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.1), ("adam", 0.001)])
def test_each_optimizer_may_have_a_learning_rate_of_its_own(optimizer, rate):
    values = {"sgd_learning_rate": 0.1, "adam_learning_rate": 0.001, "learning_rate": 0.5, "optimizer": optimizer}
    assert Recipe.from_values(values, **STEPS).learning_rate == rate


@pytest.mark.parametrize(
    ("epochs", "steps", "momentum"),
    # An average over n steps keeps 1 - 1/n of itself at each.
    [(0, 40, 0.0), (0.25, 40, 0.9), (1, 40, 0.975), (2, 50, 0.99), (0.25, 4, 0.0), (0.25, 3, 0.0), (0.25, 1, 0.0)],
)
def test_average_spans_its_epochs_and_no_less_than_a_step(epochs, steps, momentum):
    assert average_momentum(epochs, steps) == pytest.approx(momentum)


def test_weights_are_averaged_as_the_values_say():
    assert Recipe.from_values({}, **STEPS).average_momentum == average_momentum(AVERAGED_EPOCHS, 40) > 0
    assert Recipe.from_values({"averaged_epochs": 2}, **STEPS).average_momentum == pytest.approx(1 - 1 / 80)
    assert Recipe.from_values({"averaged_epochs": 0}, **STEPS).average_momentum == 0


@pytest.mark.parametrize("epochs", [-1, float("nan"), float("inf")])
def test_span_that_is_none_is_refused(epochs):
    with pytest.raises(ValueError, match=f"averaged_epochs is {epochs}; allowed is 0"):
        average_momentum(epochs, 40)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_average_that_never_moves_is_refused(momentum):
    with pytest.raises(ValueError, match="average_momentum is"):
        Recipe("sgd", 0.1, average_momentum=momentum)


@pytest.mark.parametrize("optimizer", OPTIMIZER_SLOTS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_optimizer_averages_where_the_recipe_does(optimizer, momentum):
    recipe = Recipe(optimizer, 0.1, average_momentum=momentum)
    compiled = compile_model(build_model(CONFIG), recipe, total_steps=10).optimizer
    assert compiled.use_ema == (momentum > 0)
    assert not compiled.use_ema or compiled.ema_momentum == momentum
