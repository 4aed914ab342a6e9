"""Data sets of TFDS: their splits are found, and each reason not to have one is a sentence with a way out."""

import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tuner.data import DataSpec, Split, catalog, load, load_test, reading
from tuner.data.streaming import StreamedSplit
from tuner.errors import DataError


class _Shapes(tfds.core.GeneratorBasedBuilder):
    """The parent of the small data sets below: 4x4 RGB images of two classes."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = ("train", "test")
    FEATURES = (("image", tfds.features.Image(shape=(4, 4, 3))), ("label", tfds.features.ClassLabel(names=["a", "b"])))
    COUNT = 10

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(dict(self.FEATURES)))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split):
        for number in range(self.COUNT):
            yield number, self._example(split, number)

    def _example(self, split, number):
        image = np.full((4, 4, 3), number, np.uint8)
        return {"image": image, "label": number % 2}


class TunerPlain(_Shapes):
    pass


class TunerOwnValidation(_Shapes):
    SPLITS = ("train", "dev")


class TunerUnlabeledTest(_Shapes):
    def _example(self, split, number):
        return {**super()._example(split, number), "label": -1 if split == "test" else number % 2}


class TunerUnlabeledTrain(_Shapes):
    def _example(self, split, number):
        return {**super()._example(split, number), "label": -1 if number == 3 else number % 2}


class TunerOnlyTest(_Shapes):
    SPLITS = ("test",)


class TunerOneClass(_Shapes):
    FEATURES = (_Shapes.FEATURES[0], ("label", tfds.features.ClassLabel(names=["a"])))

    def _example(self, split, number):
        return {**super()._example(split, number), "label": 0}


class TunerNoLabel(_Shapes):
    FEATURES = (_Shapes.FEATURES[0],)


class TunerNoImage(_Shapes):
    FEATURES = (("image", tfds.features.Text()), _Shapes.FEATURES[1])


class TunerDeepPixels(_Shapes):
    FEATURES = (("image", tfds.features.Image(shape=(4, 4, 1), dtype=np.uint16)), _Shapes.FEATURES[1])

    def _example(self, split, number):
        return {"image": np.full((4, 4, 1), number, np.uint16), "label": number % 2}


class TunerManySizes(_Shapes):
    FEATURES = (("image", tfds.features.Image()), _Shapes.FEATURES[1])

    def _example(self, split, number):
        return {"image": np.full((4 + number, 5, 3), number, np.uint8), "label": number % 2}


class TunerTorn(_Shapes):
    def _generate_examples(self, split):
        raise RuntimeError("The archive ended early. Second sentence.\nThird line.")


@pytest.fixture
def spec(data_dir):
    def make(name, **fields):
        return DataSpec(f"tfds:{name}", data_dir=data_dir, **fields)

    return make


@pytest.fixture
def offline(monkeypatch):
    def fail(*arguments):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(catalog.socket, "getaddrinfo", fail)
    monkeypatch.setattr(catalog.urllib.request, "getproxies", dict)


def test_validation_is_carved_from_train_and_test_is_apart(spec):
    dataset, test = load(spec("tuner_plain")), load_test(spec("tuner_plain"))
    assert (dataset.name, dataset.labels, dataset.input_shape) == ("tuner_plain", ("a", "b"), (4, 4, 3))
    assert np.bincount(dataset.validation.labels).tolist() == [1, 1]
    assert len(test) == 10
    for part in (dataset.train, dataset.validation, test):
        assert np.array_equal(part.images[:, 0, 0, 0] % 2, part.labels)  # images stay with their labels
    seen = np.concatenate([dataset.train.images, dataset.validation.images])[:, 0, 0, 0]
    assert sorted(seen.tolist()) == list(range(10))


def test_version_may_be_named(spec):
    assert load(spec("tuner_plain:1.0.0")).classes == 2


def test_own_validation_split_is_used(spec):
    dataset = load(spec("tuner_own_validation"))
    assert (len(dataset.train), len(dataset.validation)) == (10, 10)
    assert load_test(spec("tuner_own_validation")) is None


def test_unlabeled_test_split_counts_as_none(spec):
    assert load_test(spec("tuner_unlabeled_test")) is None
    assert load(spec("tuner_unlabeled_test")).classes == 2


def test_share_is_set_aside_where_the_test_split_has_no_labels(spec):
    asked = spec("tuner_unlabeled_test", test_fraction=0.3)
    dataset, test, whole = load(asked), load_test(asked), load(spec("tuner_unlabeled_test"))
    assert len(test) == dataset.set_aside > 0
    assert len(dataset.train) + len(dataset.validation) + len(test) == len(whole.train) + len(whole.validation)


def test_images_of_many_sizes_are_resized(spec):
    assert load(spec("tuner_many_sizes", image_size=(6, 7))).input_shape == (6, 7, 3)


def test_nothing_is_printed(tmp_path, capfd):
    load(DataSpec("tfds:tuner_plain", data_dir=str(tmp_path)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tuner_plan", r"has no data set 'tuner_plan'\. Did you mean 'tuner_plain'\?"),
        (
            "zzzz",
            r"has no data set 'zzzz'\. https://www\.tensorflow\.org/datasets/catalog lists them; .* folder:PATH\.$",
        ),
        ("tuner_plain:9.9.9", r"cannot open 'tuner_plain:9\.9\.9': .*only: 1\.0\.0\.$"),
        ("emnist/balancd", r"cannot open .*BuilderConfig balancd not found .*Did you mean 'balanced'\?"),
        ("tuner_unlabeled_train", r"without a label in its train split"),
        ("tuner_only_test", r"no training images: its splits are test"),
        ("tuner_one_class", r"has 1 classes; at least 2"),
        ("tuner_no_label", r"no image-classification data set: it has the features image"),
        ("tuner_no_image", r"no image-classification data set: it has the features image, label"),
        ("tuner_deep_pixels", r"images of type uint16"),
        ("tuner_many_sizes", r"differ in size; give --image-size"),
        ("tuner_torn", r"tuner_torn cannot be prepared: The archive ended early\. Prepare it where"),
        ("imagenet2012", r"imagenet2012 cannot be prepared: .*downloaded by hand"),
        ("glue/cola", r"no image-classification data set: it has the features sentence"),
    ],
)
def test_unusable_data_sets_are_refused_in_one_line(name, message, spec):
    with pytest.raises(DataError, match=message) as caught:
        load(spec(name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("mnist", "tfds build mnist"), ("fashion_mnist", "python -m tuner.data prepare fashion_mnist --from")],
)
def test_missing_network_is_told_at_once_with_the_way_out(name, way_out, spec, offline):
    with pytest.raises(DataError, match=f"{name} is not prepared and .* cannot be reached.*{way_out}"):
        load(spec(name))


def test_data_that_another_process_prepared_meanwhile_is_used(tmp_path, monkeypatch):
    prepare = TunerPlain.download_and_prepare

    def lose_the_race(builder, **arguments):
        prepare(builder, **arguments)
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(TunerPlain, "download_and_prepare", lose_the_race)
    assert load(DataSpec("tfds:tuner_plain", data_dir=str(tmp_path))).classes == 2


def test_broken_prepared_data_is_refused_with_its_folder(tmp_path):
    spec = DataSpec("tfds:tuner_plain", data_dir=str(tmp_path))
    load(spec)
    (record,) = tmp_path.glob("tuner_plain/1.0.0/*-train.tfrecord*")
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 0xFF
    record.write_bytes(content)
    with pytest.raises(DataError, match=r"prepared train images of tuner_plain cannot be read; remove .*1\.0\.0"):
        load(spec)


def test_more_than_an_eighth_of_the_memory_is_streamed(spec, monkeypatch):
    monkeypatch.setattr(reading, "total_memory_bytes", lambda: 8 * 10 * 4 * 4 * 3)
    assert isinstance(load(spec("tuner_plain")).train, Split)
    monkeypatch.setattr(reading, "total_memory_bytes", lambda: 8 * 10 * 4 * 4 * 3 - 1)
    assert isinstance(load(spec("tuner_plain")).train, StreamedSplit)
    assert isinstance(load(spec("tuner_plain", image_size=(3, 3))).train, Split)


def test_more_than_two_gigabytes_are_streamed_whatever_the_memory(spec, monkeypatch):
    monkeypatch.setattr(reading, "total_memory_bytes", lambda: 2**50)
    assert isinstance(load(spec("tuner_plain", image_size=(8500, 8500))).train, StreamedSplit)


def test_memory_of_this_machine_is_known():
    assert 2**28 < reading.total_memory_bytes() < 2**50
