"""A step sees every image once an epoch with its own label, whether images are in memory or streamed."""

import numpy as np
import pytest

from tuner.architecture import Architecture
from tuner.batches import Images, StreamedImages, images_of
from tuner.data import DataSpec, load, reading
from tuner.models import ModelConfig
from tuner.recipe import Recipe
from tuner.training import Network

KINDS = ["in memory", "streamed"]


@pytest.fixture(scope="module")
def datasets(digits):
    """The digits in memory and streamed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "total_memory_bytes", lambda: 100)
        return {"in memory": digits, "streamed": load(DataSpec("digits"))}


def _cut(batches):
    """Returns the images and labels of each batch, as a step sees them."""
    return [(images.numpy()[chosen.numpy()], labels.numpy()[chosen.numpy()]) for images, labels, chosen in batches]


def _pairs(batches):
    return [
        (image.tobytes(), int(label))
        for images, labels in _cut(batches)
        for image, label in zip(images, labels, strict=True)
    ]


def test_splits_in_memory_stay_there_and_streamed_ones_are_streamed(datasets):
    assert isinstance(images_of(datasets["in memory"].train), Images)
    assert isinstance(images_of(datasets["streamed"].train), StreamedImages)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_have_the_types_that_a_step_takes(kind, datasets):
    for images, labels, chosen in images_of(datasets[kind].validation).batches(100, shuffle=(0, 0)):
        assert images.shape[1:] == (8, 8, 1)
        assert [tensor.dtype.name for tensor in (images, labels, chosen)] == ["uint8", "int32", "int32"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffle", [None, (4, 1)])
def test_every_image_comes_once_with_its_label_and_the_last_batch_is_smaller(kind, shuffle, datasets, digits):
    data = images_of(datasets[kind].validation)
    batches = list(data.batches(64, shuffle=shuffle))
    assert len(data) == len(digits.validation)
    assert [len(chosen) for _, _, chosen in batches] == [64] * (len(data) // 64) + [len(data) % 64]
    expected = [(x.tobytes(), int(y)) for x, y in zip(digits.validation.images, digits.validation.labels, strict=True)]
    assert sorted(_pairs(batches)) == sorted(expected)
    if shuffle is None:
        assert _pairs(batches) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_order_is_repeatable_and_differs_by_seed_and_epoch(kind, datasets):
    data = images_of(datasets[kind].validation)
    orders = [_pairs(data.batches(64, shuffle=shuffle)) for shuffle in [(4, 1), (4, 1), (4, 2), (5, 1), None]]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_two_splits_are_joined(kind, datasets, digits):
    data = images_of(datasets[kind].train, datasets[kind].validation)
    assert len(data) == len(digits.train) + len(digits.validation)
    expected = [image.tobytes() for part in (digits.train, digits.validation) for image in part.images]
    assert sorted(image for image, _ in _pairs(data.batches(256, shuffle=(0, 0)))) == sorted(expected)


def test_streamed_images_train_and_evaluate_as_those_in_memory(datasets):
    config = ModelConfig(input_shape=(8, 8, 1), classes=10, blocks=(1,), width=4, se_ratio=2, stem="small")
    network = Network(Architecture(config, "adam", total_steps=100, batch_size=128))
    network.reset(Recipe("adam", 0.01, 1e-3, 0.1), seed=0)
    streamed, in_memory = (images_of(datasets[kind].validation) for kind in ("streamed", "in memory"))
    assert network.evaluate(streamed) == network.evaluate(in_memory)
    losses = [network.train_epoch(images_of(datasets["streamed"].train))["loss"] for _ in range(2)]
    assert losses[1] < losses[0]
    after = network.evaluate(streamed)
    assert after == network.evaluate(in_memory)
    assert np.isfinite(after["loss"])
