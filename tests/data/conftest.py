"""Small image folders and one prepared copy of digits, all in temporary folders."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported

import numpy as np
import pytest


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A TFDS data directory for the whole session; never the user's own."""
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(autouse=True)
def _no_default_data_dir(tmp_path, monkeypatch):
    """A test that forgets its data directory writes here and not into the user's."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path / "default"))


@pytest.fixture
def draw():
    """Returns a function that writes a random PNG or JPEG and returns its pixels."""
    import tensorflow as tf

    def write(path, *, size=(6, 5), channels=3, seed=0):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        encode = tf.io.encode_png if path.suffix.lower() == ".png" else tf.io.encode_jpeg
        path.write_bytes(encode(pixels).numpy())
        return pixels

    return write


@pytest.fixture
def turned():
    """Returns a function that makes `CLASS/N.jpg` and `.png`, 13x8 as stored, with each EXIF orientation in a class."""
    import PIL.Image

    def make(root):
        for label in ("cat", "dog"):
            for number in range(9):
                pixels = np.random.default_rng([ord(label[0]), number]).integers(0, 256, (13, 8, 3), dtype=np.uint8)
                image, path = PIL.Image.fromarray(pixels), root / label / f"{number}"
                exif = image.getexif()
                if number:
                    exif[0x0112] = number
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path.with_suffix(".png"), exif=exif)
                image.save(path.with_suffix(".jpg"), exif=exif, quality=95)
        return root

    return make


@pytest.fixture
def folder(tmp_path, draw):
    """Returns a function that makes `PATH/SPLIT/CLASS/N.png` and returns PATH."""

    def make(*, splits=("train",), classes=("cat", "dog"), count=5, **image):
        root = tmp_path / "pets"
        for split in splits:
            for label in classes:
                for number in range(count):
                    draw(root / split / label / f"{number}.png", seed=[len(split), ord(label[0]), number], **image)
        return root

    return make
