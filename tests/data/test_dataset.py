"""Arrays of the wrong form are refused; statistics are those of NumPy."""

import numpy as np
import pytest

from tuner.data import Dataset, Split


def _split(count, *, seed=0, shape=(3, 4, 2)):
    generator = np.random.default_rng(seed)
    return Split(generator.integers(0, 256, (count, *shape), dtype=np.uint8), np.zeros(count, np.int32))


@pytest.mark.parametrize("count", [1, 1023, 1024, 2500])
def test_statistics_are_mean_and_variance_of_each_channel(count):
    train = _split(count)
    means, variances = Dataset("random", ("a", "b"), train, _split(1)).channel_statistics()
    pixels = train.images.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(means, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variances, pixels.var(axis=0), rtol=1e-9)
    assert {type(value) for value in means + variances} == {float}


def test_means_of_classes_are_those_of_their_images():
    train, validation = _split(2500), _split(3, seed=1)
    labels = np.random.default_rng(2).integers(0, 2, 2500).astype(np.int32)
    found = Dataset("random", ("a", "b"), Split(train.images, labels), validation).class_means()
    expected = [train.images[labels == label].mean() for label in range(2)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(found[1], [validation.images.mean(), 0.0], rtol=1e-12)  # no image is a b


def test_constant_channel_has_variance_zero():
    train = Split(np.full((7, 3, 3, 1), 77, np.uint8), np.zeros(7, np.int32))
    assert Dataset("grey", ("a", "b"), train, train).channel_statistics() == ((77.0,), (0.0,))


def test_shape_and_classes_follow_from_the_arrays():
    dataset = Dataset("random", ("a", "b", "c"), _split(5), _split(2))
    assert (dataset.input_shape, dataset.classes, len(dataset.train)) == ((3, 4, 2), 3, 5)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int32)),
        (np.zeros((2, 3, 3, 1), np.float32), np.zeros(2, np.int32)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int32)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.int64)),
    ],
)
def test_arrays_of_another_form_are_refused(images, labels):
    with pytest.raises(ValueError, match="allowed is"):
        Split(images, labels)


def test_divided_images_stay_with_their_labels():
    images = np.arange(2500, dtype=np.int64).astype(np.uint8).reshape(-1, 1, 1, 1)
    labels = np.arange(2500, dtype=np.int32)
    held_out = np.arange(0, 2500, 3)
    kept = np.setdiff1d(labels, held_out)
    parts = Split(images, labels).divide(kept, held_out)
    for part, expected in zip(parts, (kept, held_out), strict=True):
        assert np.array_equal(part.labels, expected)
        assert np.array_equal(part.images.ravel(), expected.astype(np.uint8))


def test_chunks_are_all_images_in_order():
    split = _split(10)
    chunks = list(split.chunks(4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert np.array_equal(np.concatenate(chunks), split.images)
