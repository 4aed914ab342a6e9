"""The HyperModel serves any Keras Tuner user, and refuses values that make no network."""

import keras
import keras_tuner
import numpy as np
import pytest

from tuner.data import DataSpec
from tuner.declaration import active_values
from tuner.errors import SpaceError, UsageError
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Facts, Session
from tuner.models import build_model
from tuner.networks import Networks
from tuner.recipe import SmoothedCrossentropy
from tuner.sizes import largest_state
from tuner.space import load_space

SHAPE = {"input_shape": (8, 8, 1), "classes": 3, "max_epochs": 2, "steps_per_epoch": 4}


def _declare(hp):
    hp.Fixed("stages", 1)
    hp.Fixed("blocks_1", 1)
    hp.Choice("width", [2, 4], default=4)
    hp.Float("learning_rate", 0.005, 0.5, sampling="log", default=0.05)


def _values(declare_):
    hp = keras_tuner.HyperParameters()
    declare_(hp)
    return hp


# A stock Hyperband loads a promoted trial's weights into a model whose optimizer is not built yet.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_works_unchanged_in_a_stock_hyperband(stripes, tmp_path):
    hypermodel = SEResNetHyperModel(_declare, **SHAPE)
    tuner = keras_tuner.Hyperband(
        hypermodel, objective="val_accuracy", max_epochs=2, factor=2, seed=1, directory=tmp_path, project_name="stock"
    )
    tuner.oracle.max_trials = 3  # of 5: two of one epoch, and the better of them of two
    train, validation = stripes.train, stripes.validation
    tuner.search(
        train.images.astype("float32"),
        train.labels,
        validation_data=(validation.images.astype("float32"), validation.labels),
        verbose=0,
    )
    trials = tuner.oracle.get_best_trials(5)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3
    assert [trial.hyperparameters.values.get("tuner/trial_id") for trial in trials].count(None) == 2
    assert set(active_values(trials[0].hyperparameters)) >= {"stages", "blocks_1", "width", "learning_rate"}


def test_model_follows_the_values():
    hp = keras_tuner.HyperParameters()
    hp.values = {"width": 2, "learning_rate": 0.1}
    model = SEResNetHyperModel(_declare, **SHAPE, mean=(100.0,), variance=(9.0,)).build(hp)
    assert (model.input_shape, model.output_shape) == ((None, 8, 8, 1), (None, 3))
    assert next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)).filters == 2
    assert any(isinstance(layer, keras.layers.Normalization) for layer in model.layers)
    schedule = model.optimizer._learning_rate
    assert (float(schedule.peak), schedule.total_steps) == pytest.approx((0.1, 8))
    assert isinstance(model.loss, SmoothedCrossentropy)


@pytest.mark.parametrize("max_epochs", [9, 27])
def test_rates_are_the_same_with_keras_and_without(max_epochs):
    session = Session(data=DataSpec("digits"), space="tiny", max_epochs=max_epochs, batch_size=64)
    facts = Facts(train=130, validation=9, input_shape=(8, 8, 1), classes=3, mean=(1.0,), variance=(2.0,))
    hypermodel = SEResNetHyperModel.of(session, facts)
    hp = keras_tuner.HyperParameters()
    optimizer = hypermodel.build(hp).optimizer
    network = Networks(session).network(hypermodel, hp.values)
    network.reset(hypermodel.recipe(hp.values), seed=1)
    rates = []
    for step in (0, 5, max_epochs, 2 * max_epochs):  # of 3 in an epoch
        optimizer.iterations.assign(step)
        network.step = step
        rates.append((float(optimizer.learning_rate), network.learning_rate))
    assert len({rate for rate, _ in rates}) == 4
    for of_keras, ours in rates:
        assert of_keras == pytest.approx(ours)


class _Seen(keras.callbacks.Callback):
    """Keeps the weights that a callback finds at the end of each epoch, as one that saves a model does."""

    def __init__(self):
        super().__init__()
        self.kernels = []

    def on_epoch_end(self, epoch, logs=None):
        self.kernels.append(np.array(self.model.trainable_variables[0]))


def _fitted(stripes, *, averaged_epochs, epochs=2, callbacks=()):
    """Trains two epochs by the HyperModel; returns the model, its history and what a callback saw."""
    hp, seen = keras_tuner.HyperParameters(), _Seen()
    hp.values = {"averaged_epochs": averaged_epochs}
    keras.utils.set_random_seed(0)
    hypermodel = SEResNetHyperModel(lambda hp: (_declare(hp), hp.Fixed("averaged_epochs", averaged_epochs)), **SHAPE)
    model = hypermodel.build(hp)
    model.run_eagerly = True
    history = hypermodel.fit(
        hp,
        model,
        stripes.train.images.astype("float32"),
        stripes.train.labels,
        validation_data=(stripes.validation.images.astype("float32"), stripes.validation.labels),
        callbacks=[seen, *callbacks],
        epochs=epochs,
        verbose=0,
    )
    return model, history.history, seen.kernels


def test_averaged_weights_are_validated_saved_and_left_in_the_model(stripes):
    model, history, kernels = _fitted(stripes, averaged_epochs=1)
    judged = model.evaluate(
        stripes.validation.images.astype("float32"), stripes.validation.labels, verbose=0, return_dict=True
    )
    # Keras swaps by adding and subtracting, which rounds.
    assert history["val_loss"][-1] == pytest.approx(judged["loss"], rel=1e-4)
    np.testing.assert_allclose(kernels[-1], np.array(model.trainable_variables[0]), atol=1e-6)

    plain, plain_history, plain_kernels = _fitted(stripes, averaged_epochs=0)
    assert not plain.optimizer.use_ema
    assert plain_history["loss"] == pytest.approx(history["loss"], rel=1e-3)  # the training is the same
    assert plain_history["val_loss"][-1] != pytest.approx(history["val_loss"][-1], rel=1e-3)
    assert np.abs(plain_kernels[0] - kernels[0]).max() > 1e-4


@pytest.mark.parametrize("best", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["last", "best"])
def test_averaged_weights_are_left_in_a_model_that_a_callback_stops(best, stripes):
    stop = keras.callbacks.EarlyStopping("loss", mode="max", restore_best_weights=best)  # the first epoch is the best
    model, history, kernels = _fitted(stripes, averaged_epochs=1, epochs=5, callbacks=[stop])
    assert len(history["loss"]) == len(kernels) == 2
    np.testing.assert_allclose(kernels[0 if best else 1], np.array(model.trainable_variables[0]), atol=1e-6)
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


def test_averaged_weights_are_validated_in_half_precision_too():
    hp = keras_tuner.HyperParameters()
    hypermodel = SEResNetHyperModel(_declare, **SHAPE | {"steps_per_epoch": 40})
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = hypermodel.build(hp)
    finally:
        keras.config.set_dtype_policy(before)
    assert not model.optimizer.use_ema  # that is said of the optimizer within
    model.fit = lambda **options: options["callbacks"]
    swap, *_ = hypermodel.fit(hp, model, callbacks=None)
    assert isinstance(swap, keras.callbacks.SwapEMAWeights)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": 1}, "classes is 1; allowed is a whole number from 2"),
        ({"classes": 2.5}, "classes is 2.5; allowed"),
        ({"max_epochs": 0}, "max_epochs is 0; allowed is a whole number from 1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch is 0; allowed is a whole number from 1"),  # 50 images // 64
        ({"batch_size": 0}, "batch_size is 0; allowed is a whole number from 1"),
        ({"input_shape": (8, 8)}, r"input_shape is \(8, 8\); allowed is \(height, width, channels\)"),
        ({"input_shape": (8, None, 1)}, "input_shape is None; allowed is a whole number from 1"),
        ({"mean": 130.5}, "mean is 130.5; allowed is a tuple of 1 number, one for each channel"),
        ({"class_sizes": (4, 5)}, r"class_sizes is \(4, 5\); allowed is a number for each of 3 classes"),
        ({"variance": (1.0, 2.0)}, r"variance is \(1.0, 2.0\); allowed is a tuple of 1 number"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value.split(";")[0],
)
def test_arguments_that_describe_no_data_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        SEResNetHyperModel(_declare, **SHAPE | wrong)


def test_numbers_of_numpy_describe_data():
    images = np.full((10, 8, 9, 1), 7, np.float32)
    hypermodel = SEResNetHyperModel(
        _declare,
        np.array(images.shape[1:]),
        classes=np.arange(3).max() + 1,
        max_epochs=np.int32(2),
        steps_per_epoch=np.ceil(10 / 3),
        mean=images.mean(axis=(0, 1, 2)),
        variance=images.var(axis=(0, 1, 2)),
        class_sizes=np.bincount([0, 0, 1, 2]),
    )
    assert hypermodel.class_weights(hypermodel.recipe({"class_weights": True})) == pytest.approx((2 / 3, 4 / 3, 4 / 3))
    config = hypermodel.model_config({})
    assert (config.input_shape, config.classes, config.mean, config.variance) == ((8, 9, 1), 3, (7.0,), (1.0,))


class _FitOptions(keras.Model):
    """Keeps what `fit` is given."""

    def fit(self, *args, **kwargs):
        self.given = kwargs


@pytest.mark.parametrize(("wanted", "given"), [(True, {0: 7 / 3, 1: 7 / 9, 2: 7 / 9}), (False, None)])
def test_class_weights_are_given_to_fit(wanted, given):
    hypermodel = SEResNetHyperModel(
        lambda hp: (_declare(hp), hp.Fixed("class_weights", wanted)), **SHAPE, class_sizes=(10, 30, 30)
    )
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    model = _FitOptions()
    model.compile(keras.optimizers.SGD())
    hypermodel.fit(hp, model, None)
    found = model.given.get("class_weight")
    assert found == pytest.approx(given) if wanted else found is None


def test_class_weights_without_the_sizes_of_the_classes_are_refused():
    hypermodel = SEResNetHyperModel(_declare, **SHAPE)
    with pytest.raises(SpaceError, match=r"give their numbers as class_sizes=\(...,\)"):
        hypermodel.class_weights(hypermodel.recipe({"class_weights": True}))


@pytest.mark.parametrize(
    "values",
    [
        {"averaged_epochs": -1},
        {"averaged_epochs": "one"},
        {"optimizer": "lamb"},
        {"learning_rate": "fast"},
        {"weight_decay": -1e-4},
        {"weight_decay": float("nan")},
        {"label_smoothing": 1.0},
        {"label_smoothing": None},
        {"horizontal_flip": "left"},
        {"horizontal_flip": 0.5},
        {"class_weights": "all"},
        {"translation": 1.0},
        {"translation": -0.1},
        {"translation": "far"},
    ],
)
def test_values_that_make_no_training_blame_the_space(values):
    (name,) = values
    with pytest.raises(SpaceError, match=f"asks for a training that there is not: {name} is .*; allowed is"):
        SEResNetHyperModel(_declare, **SHAPE).recipe(values)


@pytest.mark.parametrize(
    "space", ["small", load_space("small"), load_space("small").declare], ids=["name", "space", "function"]
)
def test_space_may_be_given_in_any_form(space):
    hypermodel = SEResNetHyperModel(space, **SHAPE)
    assert active_values(_values(hypermodel.declare))["se_ratio"] == 16


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({}, "blocks", (2, 2, 2)),
        ({}, "width", 16),
        ({}, "se_ratio", (16, 16, 16)),
        ({}, "se_position", "standard"),
        ({}, "squeeze", "avg"),
        ({}, "excitation", "sigmoid"),
        ({}, "cardinality", 1),
        ({}, "stochastic_depth", 0.0),
        ({}, "dropout", 0.0),
        ({}, "block", "basic"),
        ({}, "stem", "small"),
        ({"stages": 2, "blocks_1": 1, "blocks_2": 3}, "blocks", (1, 3)),
        ({"stages": 4, "blocks_4": 5}, "blocks", (2, 2, 2, 5)),
        ({"se_ratio": 0}, "se_ratio", (0, 0, 0)),
        ({"se_ratio": 4, "se_ratio_2": 0}, "se_ratio", (4, 0, 4)),
        ({"stages": 2, "se_ratio_1": 2, "se_ratio_4": 8}, "se_ratio", (2, 16)),
        ({"se_stages": "all"}, "se_ratio", (16, 16, 16)),
        ({"se_stages": "3, 1", "se_ratio": 4}, "se_ratio", (4, 0, 4)),
        ({"se_stages": 2}, "se_ratio", (0, 16, 0)),
        ({"se_stages": "4"}, "se_ratio", (0, 0, 0)),
        ({"se_position": "identity"}, "se_position", "identity"),
        ({"squeeze": "max"}, "squeeze", "max"),
        ({"excitation": "tanh"}, "excitation", "tanh"),
        ({"stem": "deep"}, "stem", "deep"),
        ({"block": "bottleneck", "cardinality": 8}, "cardinality", 8),
        ({"block": "bottleneck", "group_width": 4}, "group_width", 4),
        ({"cardinality": 8, "group_width": 4}, "cardinality", 1),
        ({"stochastic_depth": 0.2}, "stochastic_depth", 0.2),
        ({"dropout": 0.5}, "dropout", 0.5),
        ({"block": "bottleneck", "stem": "imagenet"}, "block", "bottleneck"),
    ],
)
def test_what_a_space_leaves_out_has_a_default(values, field, expected):
    assert getattr(SEResNetHyperModel(_declare, **SHAPE).model_config(values), field) == expected


def test_statistics_follow_the_steps_of_an_epoch():
    config = SEResNetHyperModel(_declare, **SHAPE).model_config({})
    assert config.norm_momentum == pytest.approx(0.01 ** (1 / 4))


@pytest.mark.parametrize("values", [{"width": 0}, {"se_ratio": -1}, {"stages": 0}, {"block": "wide"}, {"dropout": 1.0}])
def test_values_that_make_no_network_blame_the_space(values):
    with pytest.raises(SpaceError, match="The search space asks for a network that cannot be built: ModelConfig"):
        SEResNetHyperModel(_declare, **SHAPE).model_config(values)


@pytest.mark.parametrize("stages", ["first", "", "1;2", "0", "1,,2"])
def test_stages_that_are_no_numbers_blame_the_space(stages):
    with pytest.raises(SpaceError, match="allowed is 'all' or numbers of stages, such as '2,3'"):
        SEResNetHyperModel(_declare, **SHAPE).model_config({"se_stages": stages})


def test_hypermodel_of_a_search_knows_its_data():
    facts = Facts(train=130, validation=9, input_shape=(8, 9, 3), classes=7, mean=(1.0,) * 3, variance=(2.0,) * 3)
    session = Session(data=DataSpec("digits"), space="tiny", max_epochs=4, batch_size=32)
    hypermodel = SEResNetHyperModel.of(session, facts)
    assert (hypermodel.steps_per_epoch, hypermodel.total_steps) == (5, 20)  # 130 images are 4 batches and 2 images
    config = hypermodel.model_config({})
    assert (config.input_shape, config.classes, config.mean) == ((8, 9, 3), 7, (1.0,) * 3)


def test_channel_that_is_the_same_everywhere_is_moved_and_not_scaled():
    facts = {"input_shape": (8, 8, 3), "classes": 2, "mean": (100.0, 0.0, 7.0), "variance": (9.0, 0.0, 0.0)}
    session = Session(data=DataSpec("digits"), space="tiny", max_epochs=4, batch_size=32)
    hypermodel = SEResNetHyperModel.of(session, Facts(train=130, validation=9, **facts))
    assert hypermodel.model_config({}).variance == (9.0, 1.0, 1.0)
    probabilities = build_model(hypermodel.model_config({}))(np.full((2, 8, 8, 3), 120.0))
    assert np.isfinite(probabilities).all()


def _state_bytes(hypermodel, **values):
    """A weight is 4 bytes, and as much for its average and each of the two moments of Adam."""
    return 16 * build_model(hypermodel.model_config(values)).count_params()


def test_largest_state_is_that_of_the_widest_and_deepest_network():
    def space(hp):
        hp.Int("stages", 1, 2)
        hp.Int("blocks_1", 1, 2, default=1)
        hp.Choice("width", [8, 2, 4], default=2)
        hp.Choice("se_ratio", [0, 2], default=0)
        hp.Float("learning_rate", 0.005, 0.5, default=0.05)

    hypermodel = SEResNetHyperModel(space, **SHAPE)
    expected = _state_bytes(hypermodel, stages=2, blocks_1=2, width=8, se_ratio=2)
    assert largest_state(hypermodel, _values(space)) == expected


def test_largest_state_is_found_among_too_many_combinations():
    def space(hp):
        hp.Choice("width", [2, 4], default=2)
        hp.Int("stages", 1, 3, default=1)
        for stage in (1, 2, 3):
            hp.Int(f"blocks_{stage}", 1, 2, default=1)
            hp.Choice(f"se_ratio_{stage}", [0, 16, 8, 4, 2, 1], default=0)

    hypermodel = SEResNetHyperModel(space, **SHAPE)
    most = {f"blocks_{stage}": 2 for stage in (1, 2, 3)} | {f"se_ratio_{stage}": 1 for stage in (1, 2, 3)}
    assert largest_state(hypermodel, _values(space)) == _state_bytes(hypermodel, stages=3, width=4, **most)


def test_largest_state_takes_defaults_for_what_a_space_leaves_out():
    hypermodel = SEResNetHyperModel(_declare, **SHAPE)
    assert largest_state(hypermodel, _values(_declare)) == _state_bytes(hypermodel, stages=1, blocks_1=1, width=4)


def test_largest_state_has_the_most_gates_and_groups():
    def space(hp):
        hp.Choice("block", ["basic", "bottleneck"])
        with hp.conditional_scope("block", ["bottleneck"]):
            hp.Choice("cardinality", [1, 4])
            hp.Choice("group_width", [2, 4])
        hp.Fixed("stages", 1)
        hp.Fixed("blocks_1", 2)
        hp.Choice("se_ratio_1", [0, 2, 8], default=8)
        hp.Choice("se_position", ["pre", "standard"])

    hypermodel = SEResNetHyperModel(space, **SHAPE)
    groups = {"block": "bottleneck", "cardinality": 4, "group_width": 4}
    expected = _state_bytes(hypermodel, stages=1, blocks_1=2, **groups, se_ratio_1=2, se_position="standard")
    assert largest_state(hypermodel, _values(space)) == expected
