"""Augmented images are the images, moved and mirrored as far as they may be; scores are those of images as they are."""

import dataclasses

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from trainings import BATCH, RECIPE, architecture, assert_goes_on_exactly

from tuner.augmentation import augmented, augmenting
from tuner.hypermodel import SEResNetHyperModel
from tuner.models import build_model
from tuner.models.noise import Noise
from tuner.recipe import Recipe
from tuner.runtime import configure_runtime
from tuner.splitting import Splits
from tuner.training import Network

SIDES = (8, 12)
BOTH = dataclasses.replace(RECIPE, horizontal_flip=True, translation=0.25)


@pytest.fixture(scope="module", autouse=True)
def _runtime():
    configure_runtime()


@pytest.fixture(scope="module")
def images():
    """600 images without symmetry."""
    return np.random.default_rng(3).integers(0, 256, (600, *SIDES, 2), dtype=np.uint8)


def _noise(step=1, place=None):
    return Noise(tf.constant([5, step]), tf.constant(0.0), tf.constant(0.0), place)


def _augmented(images, *, flip=0.0, translation=0.0, noise=None):
    noise = noise or _noise()
    return augmented(tf.constant(images), noise, horizontal_flip=flip, translation=translation).numpy()


def _offset(before, after, *, most):
    """Returns by how much an image was moved down and right, where what it left is filled with its edge."""
    (down, right), (height, width) = most, SIDES
    padded = np.pad(before, ((down, down), (right, right), (0, 0)), mode="edge")
    found = [
        (down - row, right - column)
        for row in range(2 * down + 1)
        for column in range(2 * right + 1)
        if np.array_equal(padded[row : row + height, column : column + width], after)
    ]
    assert len(found) == 1
    return found[0]


def test_images_stay_as_they_are_where_nothing_is_asked_for(images):
    same = _augmented(images)
    assert same.dtype == np.uint8
    np.testing.assert_array_equal(same, images)


def test_half_of_the_images_are_mirrored(images):
    turned = _augmented(images, flip=1.0)
    mirrored = np.array([np.array_equal(after, before[:, ::-1]) for before, after in zip(images, turned, strict=True)])
    np.testing.assert_array_equal(turned[~mirrored], images[~mirrored])
    assert 0.4 < mirrored.mean() < 0.6


def test_images_are_moved_by_all_numbers_of_pixels_up_to_a_share_of_their_sides(images):
    moved = _augmented(images, translation=0.25)
    offsets = [_offset(before, after, most=(2, 3)) for before, after in zip(images, moved, strict=True)]
    assert set(offsets) == {(down, right) for down in range(-2, 3) for right in range(-3, 4)}
    for side, most in enumerate((2, 3)):
        counts = np.unique([offset[side] for offset in offsets], return_counts=True)[1]
        assert counts.min() > 0.6 * len(images) / (2 * most + 1)


def test_seed_and_step_decide_what_is_drawn(images):
    first, again, later = (
        _augmented(images, flip=1.0, translation=0.25, noise=_noise(step)).tobytes() for step in (1, 1, 2)
    )
    assert first == again != later


def test_parts_of_a_batch_see_what_the_whole_batch_sees(images):
    few = images[:7]
    whole = _augmented(few, flip=1.0, translation=0.25)
    for begin, end in ((0, 3), (3, 5), (5, 7)):
        noise = _noise(place=tf.constant([begin, 7]))
        part = _augmented(few[begin:end], flip=1.0, translation=0.25, noise=noise)
        np.testing.assert_array_equal(part, whole[begin:end])


@pytest.fixture(scope="module")
def network():
    """A compiled network whose training images are augmented."""
    return Network(dataclasses.replace(architecture(), augments=True))


def test_training_goes_on_bit_for_bit(network, train):
    assert_goes_on_exactly(network, train, BOTH, other=dataclasses.replace(BOTH, translation=0.5))


def test_step_sees_the_augmented_images_and_evaluation_the_others(network, train, validation, stripes):
    """The first step's loss is that of fresh weights on images that were augmented beforehand."""
    plain = Network(architecture())
    batch, sums = next(iter(train.batches(BATCH))), tf.zeros(3)
    chosen = stripes.train.images[:BATCH]
    seen = _augmented(chosen, flip=1.0, translation=0.25)
    assert (seen != chosen).any()
    losses = []
    for trained, pixels in ((network, chosen), (plain, seen), (plain, chosen)):
        trained.reset(BOTH, seed=5)
        losses.append(float(trained._train_steps([(tf.constant(pixels), *batch[1:])], sums)[0]))
    assert losses[0] == losses[1] != losses[2]

    for trained in (network, plain):
        trained.reset(BOTH, seed=5)
    assert network.evaluate(validation) == plain.evaluate(validation)


def test_batch_in_parts_is_augmented_as_the_whole_batch(network, train, stripes):
    splits, batch, losses = Splits(), next(iter(train.batches(BATCH))), []
    seen = _augmented(stripes.train.images[:BATCH], flip=1.0, translation=0.25)
    for own, pixels in ((network.architecture, batch[0]), (architecture(), tf.constant(seen))):
        splits.remember(own, 2)
        trained = Network(own, splits=splits)
        trained.reset(BOTH, seed=5)
        losses.append(float(trained._train_steps([(pixels, *batch[1:])], tf.zeros(3))[0]))
    assert losses[0] == losses[1]


def test_how_far_images_are_moved_is_compiled_into_nothing(network, train):
    traced = network.program.train.experimental_get_tracing_count()
    metrics = []
    for translation in (0.125, 0.25):
        network.reset(dataclasses.replace(BOTH, translation=translation), seed=5)
        metrics.append(network.train_epoch(train))
    assert metrics[0] != metrics[1]
    assert network.program.train.experimental_get_tracing_count() == max(1, traced)
    assert network.architecture.structure != architecture().structure


@pytest.mark.slow
def test_xla_compiles_augmented_steps(network, train):
    compiled, losses = Network(dataclasses.replace(network.architecture, jit=True)), []
    for translation in (0.0, 0.25):
        compiled.reset(dataclasses.replace(RECIPE, translation=translation), seed=5)
        losses.append(compiled.train_epoch(train)["loss"])
    network.reset(RECIPE, seed=5)
    assert losses[0] == pytest.approx(network.train_epoch(train)["loss"], rel=1e-3)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_keras_model_is_left_alone_where_nothing_is_asked_for():
    model = build_model(architecture().config)
    assert augmenting(model, RECIPE) is model


def test_keras_model_changes_its_images_in_training_only(stripes):
    model = build_model(architecture().config)
    changing = augmenting(model, Recipe("sgd", 0.1, horizontal_flip=True, translation=0.25))
    pixels = stripes.train.images[:4].astype(np.float32)
    np.testing.assert_array_equal(changing(pixels, training=False), model(pixels, training=False))

    spot = np.zeros((200, 8, 8, 1), np.float32)
    spot[:, 4, 1] = 255.0
    random = keras.layers.RandomFlip, keras.layers.RandomTranslation
    layers = [layer for layer in changing.layers if isinstance(layer, random)]
    assert [type(layer) for layer in layers] == list(random)
    for layer in layers:
        spot = layer(spot, training=True)
    rows, columns = np.nonzero(np.array(spot)[..., 0].max(axis=0))
    assert set(rows) == {2, 3, 4, 5, 6}
    assert set(columns) == {0, 1, 2, 3, 4, 5, 6, 7}  # 1 or 6, moved by two


def test_keras_model_that_is_told_nothing_does_not_train(stripes, tmp_path):
    model = build_model(architecture().config)
    changing = augmenting(model, Recipe("sgd", 0.1, horizontal_flip=True, translation=0.25))
    pixels = stripes.train.images[:40].astype(np.float32)
    expected, statistics = model.predict(pixels, verbose=0), [np.array(each) for each in model.non_trainable_weights]
    np.testing.assert_allclose(changing(pixels), expected, rtol=1e-5, atol=1e-6)
    changing.export(str(tmp_path / "saved"), verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(saved.serve(tf.constant(pixels)), expected, rtol=1e-5, atol=1e-6)
    for before, after in zip(statistics, model.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(after, before)
    seen = keras.Model(changing.input, changing.layers[2].output)  # in front of the network
    np.testing.assert_array_equal(seen(pixels), pixels)
    assert not np.array_equal(seen(pixels, training=True), pixels)


def test_hypermodel_augments_where_the_values_say_so(stripes):
    network, augmentation = {"stages": 1, "blocks_1": 1, "width": 4}, {"horizontal_flip": True, "translation": 0.125}

    def declare(hp):
        for name, value in {**network, **augmentation}.items():
            hp.Fixed(name, value)

    hypermodel = SEResNetHyperModel(declare, (8, 8, 1), classes=3, max_epochs=2, steps_per_epoch=4)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    model.run_eagerly = True
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[:3] == ["InputLayer", "RandomFlip", "RandomTranslation"]
    pixels = stripes.train.images.astype(np.float32)
    history = hypermodel.fit(hp, model, pixels, stripes.train.labels, batch_size=60, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])
