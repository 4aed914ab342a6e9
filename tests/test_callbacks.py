"""Callbacks of Keras hear a training as `model.fit` would tell it."""

import keras
import numpy as np
import pytest

from tuner.architecture import Architecture
from tuner.batches import Images
from tuner.callbacks import Callbacks
from tuner.errors import SpaceError
from tuner.models import ModelConfig
from tuner.recipe import Recipe, compile_model
from tuner.training import Network

CONFIG = ModelConfig(input_shape=(8, 8, 1), classes=3, blocks=(1,), width=4, se_ratio=2, stem="small")
RECIPE = Recipe("sgd", 0.05)
BATCH, STEPS, TEST_STEPS = 32, 4, 2


class Recorder(keras.callbacks.Callback):
    """Writes down every call about training, with the names in its logs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self._note("train begin", None, {})

    def on_train_end(self, logs=None):
        self._note("train end", None, logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._note("epoch begin", epoch, {})

    def on_epoch_end(self, epoch, logs=None):
        self._note("epoch end", epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._note("batch begin", batch, {})

    def on_train_batch_end(self, batch, logs=None):
        self._note("batch end", batch, logs)

    def on_test_begin(self, logs=None):
        self._note("test begin", None, {})

    def on_test_end(self, logs=None):
        self._note("test end", None, logs)

    def on_test_batch_begin(self, batch, logs=None):
        self._note("test batch begin", batch, {})

    def on_test_batch_end(self, batch, logs=None):
        self._note("test batch end", batch, logs)

    def _note(self, kind, number, logs):
        optimizer = self.model.optimizer
        rate, steps = round(float(optimizer.learning_rate), 7), int(optimizer.iterations)
        self.calls.append((kind, number, sorted(logs), rate, steps))


@pytest.fixture(scope="module")
def network():
    return Network(Architecture(CONFIG, "sgd", total_steps=2 * STEPS, batch_size=BATCH))


@pytest.fixture
def train(network, stripes):
    """Trains two epochs with callbacks, as a worker does."""
    data, validation = Images(stripes.train.images, stripes.train.labels), Images(*_arrays(stripes.validation))

    def train(make):
        network.reset(RECIPE, seed=1)
        callbacks = Callbacks(make, network, epochs=2, steps=STEPS, test_steps=TEST_STEPS)
        callbacks.train_begin()
        while network.epoch < 2 and not callbacks.wants_to_stop:
            callbacks.epoch_begin()
            metrics = network.train_epoch(data, on_batch=callbacks.on_batch)
            callbacks.test_begin()
            tested = network.evaluate(validation, on_batch=callbacks.on_test_batch)
            callbacks.test_end(tested)
            metrics |= {f"val_{name}": value for name, value in tested.items()}
            callbacks.epoch_end(metrics)
        callbacks.train_end()
        return callbacks

    return train


def _arrays(split):
    return split.images, split.labels


def test_calls_are_those_of_fit(train, network, stripes):
    ours, theirs = Recorder(), Recorder()
    train(lambda: [ours])
    model = compile_model(network.to_keras(), RECIPE, total_steps=2 * STEPS)
    model.run_eagerly = True
    validation = (stripes.validation.images.astype("float32"), stripes.validation.labels)
    model.fit(
        stripes.train.images.astype("float32"),
        stripes.train.labels,
        batch_size=BATCH,
        epochs=2,
        validation_data=validation,
        callbacks=[theirs],
        verbose=0,
    )
    assert ours.calls == theirs.calls
    assert len(ours.calls) == 2 + 2 * (2 + 2 * STEPS + 2 + 2 * TEST_STEPS)
    assert ours.params == theirs.params == {"epochs": 2, "steps": STEPS, "verbose": 0}


def test_training_without_callbacks_listens_to_no_step(train):
    callbacks = train(None)
    assert callbacks.on_batch is None
    assert not callbacks.wants_to_stop


class Quiet(keras.callbacks.Callback):
    """Hears epochs only."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def test_step_costs_nothing_where_no_callback_hears_it(train):
    assert train(lambda: [Quiet()]).on_batch is None
    assert train(lambda: [Quiet()]).on_test_batch is None
    assert train(lambda: [Quiet(), Recorder()]).on_batch is not None
    assert train(lambda: [Recorder()]).on_test_batch is not None


def test_function_for_batches_is_heard(train):
    heard = []
    train(lambda: [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: heard.append(batch))])
    assert heard == [*range(STEPS)] * 2


def test_callback_may_stop_the_training(train, network):
    assert train(lambda: [Quiet()]).wants_to_stop
    assert network.epoch == 1


def test_early_stopping_of_keras_works(train, network):
    stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=0, mode="max", min_delta=1e9)
    assert train(lambda: [stopping]).wants_to_stop
    assert network.epoch == 2  # Keras allows the first epoch after the best


def test_callback_sees_the_model_of_the_moment(train, network):
    seen = []

    class Looks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.get_weights())

    train(lambda: [Looks()])
    assert len(seen) == 2
    assert any((first != second).any() for first, second in zip(*seen, strict=True))
    for ours, theirs in zip(seen[-1], network.to_keras().get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Watcher(keras.callbacks.Callback):
    """Calls a function with the model after each epoch, and with what another made of it when the training began."""

    def __init__(self, look, prepare=lambda model: None):
        super().__init__()
        self.look, self.prepare, self.seen = look, prepare, []

    def on_train_begin(self, logs=None):
        self.prepared = self.prepare(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.look(self.model, self.prepared))


def test_model_can_be_called(train, network, stripes):
    images = stripes.validation.images.astype("float32")
    watcher = Watcher(lambda model, _: np.array(model(images, training=False)))
    train(lambda: [watcher])
    np.testing.assert_allclose(watcher.seen[-1], network.predict(stripes.validation.images), atol=1e-5)


def test_model_can_be_evaluated_as_it_is_validated(train, network, stripes):
    validation = (stripes.validation.images.astype("float32"), stripes.validation.labels)
    watcher = Watcher(lambda model, _: model.evaluate(*validation, batch_size=BATCH, return_dict=True, verbose=0))
    train(lambda: [watcher])
    assert watcher.seen[-1] == pytest.approx(network.evaluate(Images(*_arrays(stripes.validation))), abs=1e-4)


def test_layers_of_the_model_make_a_model_whose_weights_are_those_of_the_moment(train, network, stripes):
    images = stripes.validation.images.astype("float32")
    watcher = Watcher(
        lambda _, features: features.predict(images, verbose=0),
        prepare=lambda model: keras.Model(model.inputs, model.layers[-1].output),
    )
    train(lambda: [watcher])
    assert (watcher.seen[0] != watcher.seen[1]).any()
    np.testing.assert_allclose(watcher.seen[-1], network.predict(stripes.validation.images), atol=1e-5)


def test_model_can_be_saved_by_a_callback(train, tmp_path, network, stripes):
    path = tmp_path / "best.keras"
    train(lambda: [keras.callbacks.ModelCheckpoint(path, monitor="val_loss")])
    images = stripes.validation.images
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded.predict(images.astype("float32"), verbose=0), network.predict(images), atol=1e-5)


def test_log_of_keras_has_an_epoch_a_line(train, tmp_path):
    path = tmp_path / "log.csv"
    train(lambda: [keras.callbacks.CSVLogger(path)])
    header, *lines = path.read_text().splitlines()
    assert header == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert [line.split(",")[0] for line in lines] == ["0", "1"]


@pytest.mark.parametrize(("monitor", "better"), [("val_accuracy", "up"), ("val_loss", "down")])
def test_callback_that_monitors_a_metric_knows_which_way_is_better(monitor, better, train):
    stopping = keras.callbacks.EarlyStopping(monitor, patience=9, min_delta=0.5)
    train(lambda: [stopping])
    assert (stopping.min_delta > 0) == (better == "up")  # Keras turns the sign where less is better


@pytest.mark.parametrize(
    "callback",
    [keras.callbacks.ReduceLROnPlateau("val_loss"), keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)],
)
def test_callback_that_sets_learning_rates_is_refused(callback, network):
    with pytest.raises(SpaceError, match=f"has a {type(callback).__name__}, but learning rates are those of the space"):
        _callbacks(lambda: [callback], network)


def test_callback_that_swaps_averaged_weights_is_refused(network):
    with pytest.raises(SpaceError, match="has a SwapEMAWeights, but averaged weights are validated anyway"):
        _callbacks(lambda: [keras.callbacks.SwapEMAWeights()], network)


def test_callback_that_restores_another_training_is_refused(network, tmp_path):
    with pytest.raises(SpaceError, match="has a BackupAndRestore, but a trial goes on from a checkpoint of its own"):
        _callbacks(lambda: [keras.callbacks.BackupAndRestore(tmp_path)], network)


@pytest.mark.parametrize("is_listed", [True, False])
def test_callbacks_in_a_callback_list_are_as_those_alone(is_listed, network, tmp_path):
    def listed(callback):
        made = keras.callbacks.CallbackList([callback])
        return lambda: [made] if is_listed else made

    stopping = keras.callbacks.EarlyStopping("val_accuracy")
    _callbacks(listed(stopping), network)
    assert stopping.mode == "max"
    with pytest.raises(SpaceError, match="has a BackupAndRestore"):
        _callbacks(listed(keras.callbacks.BackupAndRestore(tmp_path)), network)


@pytest.mark.parametrize("made", [None, [None], ["EarlyStopping"], 3])
def test_what_is_no_list_of_callbacks_is_refused(made, network):
    with pytest.raises(SpaceError, match=r"callbacks\(\) returns .*; allowed is a list of objects of keras.callbacks"):
        _callbacks(lambda: made, network)


def test_callbacks_of_a_generator_are_heard(train):
    assert train(lambda: (callback for callback in [Quiet()])).wants_to_stop


def test_learning_rate_is_there_to_read_only(network):
    class Sets(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.1

    with pytest.raises(SpaceError, match=r"sets optimizer\.learning_rate, but learning rates are those of the space"):
        _callbacks(lambda: [Sets()], network).epoch_begin()


def test_tensorboard_of_keras_has_its_logs(train, tmp_path):
    train(lambda: [keras.callbacks.TensorBoard(tmp_path, write_graph=False)])
    assert {path.name for path in tmp_path.iterdir()} == {"train", "validation"}


def _callbacks(make, network):
    return Callbacks(make, network, epochs=2, steps=STEPS, test_steps=TEST_STEPS)
