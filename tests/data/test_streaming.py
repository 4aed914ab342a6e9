"""Streamed images are those of the arrays, byte for byte; each epoch has every one once, in an order of its own."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tuner.data import DataSpec, Split, load, load_test, readers, reading
from tuner.data import folder as folders
from tuner.data.images import decode_image
from tuner.data.streaming import StreamedSplit
from tuner.errors import DataError

COUNT, SHARDS = 600, 30  # 20 images a shard: more shards than are open at once, more images than a turn takes


class TunerManyShards(tfds.core.GeneratorBasedBuilder):
    """4x4 grey images whose first two pixels are their number; a feature that is never wanted comes with them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(4, 4, 1)),
            "kind": tfds.features.ClassLabel(names=["a", "b", "c"]),
            "text": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "kind")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(COUNT), "test": self._generate_examples(50)}

    def _generate_examples(self, count):
        for number in range(count):
            image = np.random.default_rng(number).integers(0, 256, (4, 4, 1), dtype=np.uint8)
            image[0, :2, 0] = divmod(number, 256)
            yield number, {"image": image, "kind": number % 3, "text": "x" * number}


@pytest.fixture(scope="module")
def shards(data_dir):
    """A data set of many files, prepared."""
    builder = TunerManyShards(data_dir=data_dir)
    config = tfds.download.DownloadConfig(num_shards=SHARDS)
    tfds.disable_progress_bar()
    builder.download_and_prepare(download_config=config)
    assert builder.info.splits["train"].num_shards == SHARDS
    return DataSpec("tfds:tuner_many_shards", data_dir=data_dir)


@pytest.fixture
def specs(shards, data_dir, folder, draw):
    """Specifications of all kinds by name."""
    own = folder(splits=("train", "val"), count=7)
    own = own.rename(own.with_name("own"))
    root = folder(splits=("train", "test"), count=10)
    draw(root / "train" / "dog" / "x.jpg", size=(11, 17))
    draw(root / "archive" / "bird" / "0.png")
    return {
        "digits": DataSpec("digits", data_dir=data_dir),
        "resized digits": DataSpec("digits", image_size=(5, 12), data_dir=data_dir),
        "shards": shards,
        "folder": DataSpec(f"folder:{root}", image_size=(6, 5)),
        "own validation": DataSpec(f"folder:{own}"),
        "own test": DataSpec(f"folder:{own}", test_fraction=0.3),
    }


@pytest.fixture
def streamed(monkeypatch):
    """Returns a function that calls `load` or `load_test` on a machine with hardly any memory."""

    def call(spec, load=load):
        with monkeypatch.context() as patch:
            patch.setattr(reading, "total_memory_bytes", lambda: 100)
            return load(spec)

    return call


@pytest.fixture
def by_tfds(monkeypatch, tmp_path):
    """Returns a function that calls `load` or `load_test` and lets TFDS list and read all images."""
    open_folder = folders.open_folder

    def open_with_builder(path, image_size):
        source = open_folder(path, image_size)
        splits = tmp_path / "splits" / Path(path).name  # a folder of its own: other folders would be classes to TFDS
        splits.mkdir(parents=True, exist_ok=True)
        for split in source.files:
            if not (splits / split).exists():
                (splits / split).symlink_to(Path(path) / split)
        builder = tfds.ImageFolder(str(splits), shape=(None, None, source.image_shape[2]))
        return dataclasses.replace(source, files=None, builder=builder)

    def call(spec, load=load):
        with monkeypatch.context() as patch:
            patch.setattr(readers, "has_reader", lambda source: False)
            patch.setattr(folders, "open_folder", open_with_builder)
            return load(spec)

    return call


def _pairs(batches):
    """Returns each image with its label, in order."""
    return [
        (image.tobytes(), int(label))
        for images, labels in batches
        for image, label in zip(images.numpy(), labels, strict=True)
    ]


def _in_memory(split):
    return [(image.tobytes(), int(label)) for image, label in zip(split.images, split.labels, strict=True)]


def _numbers(batches):
    return [int(image[0, 0, 0]) * 256 + int(image[0, 1, 0]) for images, _ in batches for image in images.numpy()]


@pytest.mark.parametrize("name", ["digits", "resized digits", "shards", "folder", "own validation"])
def test_streamed_images_labels_and_hold_out_are_those_of_the_arrays(name, specs, streamed, by_tfds):
    expected, dataset = by_tfds(specs[name]), streamed(specs[name])
    assert (dataset.name, dataset.labels, dataset.input_shape) == (
        expected.name,
        expected.labels,
        expected.input_shape,
    )
    for part in ("train", "validation"):
        arrays, stream = getattr(expected, part), getattr(dataset, part)
        assert isinstance(arrays, Split)
        assert isinstance(stream, StreamedSplit)
        assert (len(stream), stream.labels.dtype) == (len(arrays), np.int32)
        assert np.array_equal(stream.labels, arrays.labels)
        assert np.array_equal(np.concatenate(list(stream.chunks(64))), arrays.images)
        assert sorted(_pairs(stream.batches(64, shuffle=(3, 0)))) == sorted(_in_memory(arrays))


@pytest.mark.parametrize("name", ["digits", "shards", "folder", "own test"])
def test_streamed_test_images_are_those_of_the_arrays(name, specs, streamed, by_tfds):
    expected, test = by_tfds(specs[name], load_test), streamed(specs[name], load_test)
    assert np.array_equal(test.labels, expected.labels)
    assert np.array_equal(np.concatenate(list(test.chunks(7))), expected.images)
    assert streamed(specs["own validation"], load_test) is None


@pytest.mark.parametrize(
    ("name", "images"),
    [
        *(("digits", None), ("resized digits", None), ("shards", None), ("folder", None), ("own validation", None)),
        *(("own test", None), ("own test", 12)),
        *(("digits", 60), ("resized digits", 60), ("shards", 60), ("folder", 12), ("own validation", 12)),
    ],
)
def test_arrays_are_those_of_tfds(name, images, specs, by_tfds):
    spec = dataclasses.replace(specs[name], images=images)
    expected, dataset = by_tfds(spec), load(spec)
    for part in ("train", "validation"):
        assert isinstance(getattr(dataset, part), Split)
        assert _in_memory(getattr(dataset, part)) == _in_memory(getattr(expected, part))


@pytest.mark.parametrize("image_size", [None, (12, 9)])
def test_photos_are_upright_in_arrays_streams_and_prediction_alike(image_size, turned, streamed, tmp_path):
    root = turned(tmp_path / "photos")
    for path in root.rglob("*.*"):  # without --image-size those of one size only
        if image_size is None and path.stem not in ("5", "6", "7", "8"):
            path.unlink()
    spec = DataSpec(f"folder:{root}", image_size=image_size, validation_fraction=0.4, test_fraction=0.3)
    files = root.rglob("*.*")
    expected = {decode_image(path, channels=3, image_size=image_size).tobytes() for path in files}
    dataset, stream = load(spec), streamed(spec)
    assert dataset.input_shape == stream.input_shape == (*(image_size or (8, 13)), 3)
    assert dataset.turned == stream.turned == (2 * 2 * 4 if image_size is None else 2 * 2 * 7)
    parts = [dataset.train, dataset.validation, load_test(spec)]
    streams = [stream.train, stream.validation, streamed(spec, load_test)]
    for part, split in zip(parts, streams, strict=True):
        assert isinstance(split, StreamedSplit)
        assert _pairs(split.batches(5)) == _in_memory(part)
        assert sorted(_pairs(split.batches(5, shuffle=(0, 0)))) == sorted(_in_memory(part))
    assert {image for part in parts for image, _ in _in_memory(part)} == expected


def test_images_that_are_not_used_are_not_decoded(folder):
    root = folder(count=10)
    spec = DataSpec(f"folder:{root}", images=6)
    used = {image for image, _ in _in_memory(load(spec).train) + _in_memory(load(spec).validation)}
    others = [path for path in root.rglob("*.png") if decode_image(path, channels=3).tobytes() not in used]
    assert len(others) == 20 - 6
    for path in others:
        path.write_bytes(path.read_bytes()[:-20])
    assert {image for image, _ in _in_memory(load(spec).train) + _in_memory(load(spec).validation)} == used
    with pytest.raises(DataError, match="is a broken image"):
        load(DataSpec(f"folder:{root}"))


@pytest.mark.parametrize("name", ["shards", "folder"])
def test_order_follows_from_seed_and_epoch_alone(name, specs, streamed):
    train = streamed(specs[name]).train
    first = _pairs(train.batches(16, shuffle=(1, 0)))
    tf.random.set_seed(7)
    try:
        again = _pairs(streamed(specs[name]).train.batches(16, shuffle=(1, 0)))
    finally:
        tf.random.set_seed(None)
    assert again == first
    others = [_pairs(train.batches(16, shuffle=shuffle)) for shuffle in [(1, 1), (2, 0)]]
    assert all(sorted(other) == sorted(first) for other in others)
    assert len({tuple(order) for order in [first, *others, _pairs(train.batches(16))]}) == 4


@pytest.mark.slow
def test_order_is_the_same_in_another_process(shards, streamed):
    numbers = _numbers(streamed(shards).train.batches(32, shuffle=(5, 2)))
    digest = hashlib.sha256(repr(numbers).encode()).hexdigest()
    root = str(Path(__file__).parents[2])  # behind the installed package, which is what is tested
    code = f"""
import hashlib
import sys
sys.path.append({root!r})
from tests.data.test_streaming import TunerManyShards, _numbers
from tuner.data import DataSpec, load, reading
reading.total_memory_bytes = lambda: 100
numbers = _numbers(load(DataSpec({shards.source!r}, data_dir={shards.data_dir!r})).train.batches(32, shuffle=(5, 2)))
print(hashlib.sha256(repr(numbers).encode()).hexdigest())
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == digest


def test_last_batch_has_what_is_left(shards, streamed):
    train = streamed(shards).train
    sizes = [len(labels) for _, labels in train.batches(100, shuffle=(0, 0))]
    assert sizes == [100, 100, 100, 100, 80]


@pytest.mark.parametrize("window", [10, 100])
def test_small_windows_lose_no_image(window, shards, streamed, monkeypatch):
    monkeypatch.setattr(readers, "_WINDOW_IMAGES", window)
    train = streamed(shards).train
    assert sorted(_numbers(train.batches(32, shuffle=(0, 0)))) == sorted(_numbers(train.batches(32)))


def test_shuffling_brings_distant_images_together(shards, streamed, monkeypatch):
    # With windows of 100 of 600 images, 32 images come from about 16 of 30 shards; in the files' order from two or
    # three.
    monkeypatch.setattr(readers, "_WINDOW_IMAGES", 100)
    train = streamed(shards).train
    place = {number: index for index, number in enumerate(_numbers(train.batches(32)))}
    numbers = _numbers(train.batches(32, shuffle=(0, 0)))
    shards_in_batches = [
        len({place[number] * SHARDS // len(place) for number in numbers[start : start + 32]})
        for start in range(0, len(numbers) - 32, 32)
    ]
    assert np.mean(shards_in_batches) > 8


def test_union_has_the_images_of_both_splits_once(shards, streamed):
    dataset = streamed(shards)
    both = dataset.train.union(dataset.validation)
    assert sorted(_numbers(both.batches(64, shuffle=(0, 0)))) == list(range(COUNT))
    assert len(both) == COUNT
    with pytest.raises(ValueError, match="different readers"):
        both.union(streamed(shards, load_test))


@pytest.mark.parametrize("name", ["shards", "folder"])
def test_statistics_are_those_of_the_arrays_where_all_images_are_counted(name, specs, streamed):
    assert streamed(specs[name]).channel_statistics() == load(specs[name]).channel_statistics()


def test_statistics_of_many_images_come_from_the_first(shards, streamed, monkeypatch):
    monkeypatch.setattr("tuner.data.dataset._STATISTICS_IMAGES", 32)
    dataset = streamed(shards)
    (mean,), (variance,) = dataset.channel_statistics()
    first = next(dataset.train.chunks(128))
    assert mean == pytest.approx(first.mean())
    assert variance == pytest.approx(first.var())
    assert load(shards).channel_statistics() == ((mean,), (variance,))  # a machine with more memory normalises alike


def test_images_of_many_sizes_need_an_image_size(folder, draw, streamed):
    root = folder()
    draw(root / "train" / "dog" / "9.png", size=(8, 8))
    with pytest.raises(DataError, match="give --image-size"):
        streamed(DataSpec(f"folder:{root}"))


def test_broken_header_is_refused_when_loading(folder, streamed):
    root = folder()
    (root / "train" / "cat" / "3.png").write_text("not an image")
    with pytest.raises(DataError, match=r"cat/3\.png is neither a PNG nor a JPEG"):
        streamed(DataSpec(f"folder:{root}"))


@pytest.mark.parametrize("shuffle", [None, (0, 0)])
def test_file_that_is_broken_behind_its_header_is_named_when_it_is_met(shuffle, folder, streamed):
    root = folder(count=10)
    path = root / "train" / "cat" / "3.png"
    path.write_bytes(path.read_bytes()[:60])
    dataset = streamed(DataSpec(f"folder:{root}"))
    with pytest.raises(DataError, match=r"cat/3\.png is a broken image"):
        list(dataset.train.union(dataset.validation).batches(4, shuffle=shuffle))


@pytest.mark.parametrize("becomes", [lambda path: None, Path.mkdir, lambda path: path.symlink_to(path)])
def test_file_that_is_removed_while_training_is_named(becomes, folder, streamed):
    root = folder(count=10)
    dataset = streamed(DataSpec(f"folder:{root}"))
    (root / "train" / "cat" / "3.png").unlink()
    becomes(root / "train" / "cat" / "3.png")
    with pytest.raises(DataError, match=r"cat/3\.png cannot be read"):
        list(dataset.train.union(dataset.validation).batches(4))


def test_broken_shard_is_refused_when_loading_with_its_folder(tmp_path, streamed):
    spec = DataSpec("digits", data_dir=str(tmp_path))
    streamed(spec)
    (record,) = tmp_path.glob("digits/1.0.0/*-train.tfrecord*")
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 0xFF
    record.write_bytes(content)
    with pytest.raises(DataError, match=r"prepared train images of digits cannot be read; remove .*1\.0\.0"):
        streamed(spec)


@pytest.mark.parametrize("change", [lambda content: content[: len(content) // 2], lambda content: content * 2])
def test_shard_of_another_length_is_refused_when_loading(change, tmp_path, streamed):
    spec = DataSpec("digits", data_dir=str(tmp_path))
    streamed(spec)
    (record,) = tmp_path.glob("digits/1.0.0/*-train.tfrecord*")
    record.write_bytes(change(record.read_bytes()))
    with pytest.raises(DataError, match=r"prepared train images of digits cannot be read; remove .*1\.0\.0"):
        streamed(spec)


def test_other_file_formats_are_refused_with_the_way_out(shards, streamed, monkeypatch):
    monkeypatch.setattr(tfds.core.DatasetInfo, "file_format", tfds.core.FileFormat.ARRAY_RECORD)
    with pytest.raises(DataError, match=r"prepared as array_record; prepare it as tfrecord"):
        streamed(shards)


def test_no_more_threads_decode_than_the_process_may_use(shards, streamed, monkeypatch):
    monkeypatch.setattr(tf.config.threading, "get_inter_op_parallelism_threads", lambda: 3)
    pipeline = streamed(shards).train._pipeline(8, None)
    assert pipeline.options().threading.private_threadpool_size == 3
    assert pipeline.options().deterministic
