"""Digits: all of scikit-learn's images, divided the same way on every machine."""

import hashlib
import tempfile

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tensorflow_datasets.core.utils import gcs_utils

from tuner.data import DataSpec, load, load_test
from tuner.errors import DataError


@pytest.fixture(scope="module")
def splits(data_dir):
    spec = DataSpec("digits", data_dir=data_dir)
    dataset = load(spec)
    return dataset, {"train": dataset.train, "validation": dataset.validation, "test": load_test(spec)}


def test_has_all_images_of_scikit_learn_once(splits):
    _, parts = splits
    found = sorted(
        (int(label), *image.ravel().tolist())
        for part in parts.values()
        for image, label in zip(part.images, part.labels, strict=True)
    )
    bunch = load_digits()
    scaled = np.floor(bunch.data * 255 / 16 + 0.5).astype(int)
    assert found == sorted((int(label), *pixels.tolist()) for pixels, label in zip(scaled, bunch.target, strict=True))
    assert len(found) == 1797


def test_first_use_asks_no_server_and_leaves_nothing_in_the_temporary_folder(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(gcs_utils, "gcs_dataset_info_files", lambda _: pytest.fail("a server is asked"))
    assert len(load(DataSpec("digits", data_dir=str(tmp_path / "data"))).train) == 1151
    assert not list(temporary.iterdir())


def test_names_shape_and_range(splits):
    dataset, _ = splits
    assert (dataset.name, dataset.labels) == ("digits", tuple("0123456789"))
    assert (dataset.input_shape, dataset.classes) == ((8, 8, 1), 10)
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)


def test_splits_are_stratified(splits):
    _, parts = splits
    counts = {name: np.bincount(part.labels, minlength=10) for name, part in parts.items()}
    everything = sum(counts.values())
    assert np.abs(counts["test"] - 0.2 * everything).max() <= 0.5
    assert np.abs(counts["validation"] - 0.2 * (everything - counts["test"])).max() <= 0.5


# SHA-256 over image and label bytes, from runs with TFDS 4.9.10, NumPy 2.4.6 and scikit-learn 1.9.1; PNG is lossless,
# so that they hold on every machine.
@pytest.mark.parametrize(
    ("name", "digest"),
    [("train", "c4651d6e7dbc61b1"), ("validation", "eebcab3906f2a98a"), ("test", "5ab131d667eab247")],
)
def test_bytes_and_order_are_always_the_same(name, digest, splits):
    part = splits[1][name]
    content = part.images.tobytes() + part.labels.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == digest


def test_resized_digits_keep_their_order(data_dir, splits):
    larger = load(DataSpec("digits", image_size=(12, 16), data_dir=data_dir))
    assert larger.input_shape == (12, 16, 1)
    assert np.array_equal(larger.train.labels, splits[0].train.labels)


def test_fraction_decides_how_many_are_held_out(data_dir):
    dataset = load(DataSpec("digits", validation_fraction=0.5, data_dir=data_dir))
    assert abs(len(dataset.validation) - len(dataset.train)) <= 10


def test_preparation_prints_nothing(tmp_path, capfd):
    load(DataSpec("digits", data_dir=str(tmp_path)))
    assert capfd.readouterr() == ("", "")


def test_unusable_data_directory_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"digits cannot be prepared: .* TFDS_DATA_DIR names another"):
        load(DataSpec("digits", data_dir=str(tmp_path / "file")))


def test_incomplete_data_is_refused_with_its_folder(tmp_path):
    (tmp_path / "digits" / "1.0.0").mkdir(parents=True)
    with pytest.raises(DataError, match=r"digits/1\.0\.0; remove that folder"):
        load(DataSpec("digits", data_dir=str(tmp_path)))
