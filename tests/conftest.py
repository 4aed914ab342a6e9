"""What all tests share: a silent TensorFlow of one thread an operation, a data folder, data that train in a blink."""

import os
import signal
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in processes of the program, see tuner/imports.py
# As `configure_runtime` sets it, also where another test has run an operation before: sums depend on it.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

import numpy as np
import pytest


def pytest_configure(config):
    """Lets Ctrl-C be tested, and names one TFDS folder for the session and its processes; never the user's own."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it for what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):  # a process of pytest-xdist has inherited the name
        return
    folder = tempfile.TemporaryDirectory(prefix="tuner-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["TFDS_DATA_DIR"] = folder.name


@pytest.fixture(scope="session")
def digits():
    """The digits, prepared on first use and for every process that the tests start."""
    from tuner.data import DataSpec, load

    return load(DataSpec("digits"))


@pytest.fixture(scope="session")
def stripes():
    """120 + 60 noisy images of 8 x 8 pixels in three classes: bright rows, bright columns, neither."""
    from tuner.data import Dataset, Split

    random = np.random.default_rng(7)

    def split(count):
        labels = random.integers(0, 3, count).astype(np.int32)
        images = random.integers(0, 120, (count, 8, 8, 1))
        images[labels == 0, ::2] += 100
        images[labels == 1, :, ::2] += 100
        return Split(images.astype(np.uint8), labels)

    return Dataset(name="stripes", labels=("rows", "columns", "none"), train=split(120), validation=split(60))


@pytest.fixture(scope="session")
def train(stripes):
    """The training images of the stripes, in memory."""
    from tuner.batches import Images

    return Images(stripes.train.images, stripes.train.labels)


@pytest.fixture(scope="session")
def validation(stripes):
    """The validation images of the stripes, in memory."""
    from tuner.batches import Images

    return Images(stripes.validation.images, stripes.validation.labels)


@pytest.fixture
def earlier(tmp_path):
    """A folder that a failure must leave alone, such as an export."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "card.md").write_text("earlier")
    return directory
