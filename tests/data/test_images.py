"""Training and prediction see the same bytes, whichever way an image takes."""

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tuner.data import DataSpec, load
from tuner.data.images import decode_image, resize_images, resize_tensor, turn_upright
from tuner.errors import DataError


@pytest.mark.parametrize("size", [(3, 4), (9, 7), (20, 31)])
def test_resizing_gives_the_same_bytes_alone_in_batches_and_in_pipelines(size):
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
    batch = resize_images(images, size)
    alone = np.stack([resize_images(image, size) for image in images])
    unknown = tf.TensorSpec((None, None, 3), tf.uint8)
    pipeline = tf.data.Dataset.from_generator(lambda: iter(images), output_signature=unknown)
    piped = np.stack(list(pipeline.map(lambda image: resize_tensor(image, size)).as_numpy_iterator()))
    assert batch.shape == (6, *size, 3)
    assert batch.dtype == np.uint8
    assert np.array_equal(batch, alone)
    assert np.array_equal(batch, piped)


def test_resizing_to_the_same_size_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 1), dtype=np.uint8)
    assert np.array_equal(resize_images(images, (9, 7)), images)


def test_shrinking_averages():
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 255
    shrunk = resize_images(checks.astype(np.uint8)[..., None], (2, 2))
    assert np.abs(shrunk.astype(int) - 127.5).max() < 20  # without antialiasing it is 0, 255 or 127 by position


@pytest.mark.parametrize("ending", ["png", "jpg", "JPEG"])
@pytest.mark.parametrize("image_size", [None, (4, 9)])
def test_prediction_decodes_what_training_decoded(ending, image_size, draw, tmp_path):
    root = tmp_path / "pets"
    files = {label: [root / "train" / label / f"{n}.{ending}" for n in range(3)] for label in ("cat", "dog")}
    for label, paths in files.items():
        for number, path in enumerate(paths):
            draw(path, seed=[ord(label[0]), number])
    dataset = load(DataSpec(f"folder:{root}", image_size=image_size))
    for number, paths in enumerate(files.values()):
        decoded = {decode_image(path, channels=3, image_size=image_size).tobytes() for path in paths}
        loaded = {
            image.tobytes()
            for part in (dataset.train, dataset.validation)
            for image in part.images[part.labels == number]
        }
        assert decoded == loaded


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_photos_are_read_upright_as_pillow_turns_them(ending, turned, tmp_path):
    paths = sorted(turned(tmp_path).rglob(f"*.{ending}"))
    assert len(paths) == 18
    for path in paths:
        with PIL.Image.open(path) as image:
            # Pillow and TensorFlow round the colours of a JPEG in their own ways: the same pixels for both.
            image.paste(PIL.Image.fromarray(tf.image.decode_image(path.read_bytes()).numpy()))
            expected = np.asarray(PIL.ImageOps.exif_transpose(image))
        decoded = decode_image(path, channels=3)
        assert np.array_equal(decoded, expected)
        assert np.array_equal(decode_image(path, channels=3, image_size=(7, 9)), resize_images(decoded, (7, 9)))


@pytest.mark.parametrize("channels", [1, 3])
def test_orientations_say_where_the_first_row_and_column_are(channels):
    stored = np.arange(6 * channels, dtype=np.uint8).reshape(2, 3, channels)
    tall = stored.transpose(1, 0, 2)
    expected = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
    expected |= {5: tall, 6: tall[:, ::-1], 7: tall[::-1, ::-1], 8: tall[::-1]}
    for orientation, image in expected.items():
        assert np.array_equal(turn_upright(tf.constant(stored), orientation), image)


def test_lossless_pixels_come_back(draw, tmp_path):
    for channels in (1, 3):
        pixels = draw(tmp_path / "a.png", channels=channels)
        assert np.array_equal(decode_image(tmp_path / "a.png", channels=channels), pixels)


def test_alpha_is_dropped(draw, tmp_path):
    pixels = draw(tmp_path / "a.png", channels=4)
    assert np.array_equal(decode_image(str(tmp_path / "a.png"), channels=3), pixels[..., :3])


def test_sixteen_bits_become_eight(tmp_path):
    png = tf.io.encode_png(tf.constant([[[0], [256], [65535]]], tf.uint16)).numpy()
    (tmp_path / "a.png").write_bytes(png)
    assert decode_image(tmp_path / "a.png", channels=1).ravel().tolist() == [0, 1, 255]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_truncated_file_is_named(name, draw, tmp_path):
    path = tmp_path / name
    draw(path, size=(60, 60))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"{name} is a broken image"):
        decode_image(path, channels=3)
