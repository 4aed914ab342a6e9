"""Folders of images load in one order, and each mistake in them is one sentence that names the place."""

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tuner.data import DataSpec, load, load_test
from tuner.data.images import decode_image
from tuner.data.layout import find_images, find_left_out
from tuner.errors import DataError


def _spec(root, **fields):
    return DataSpec(f"folder:{root}", **fields)


def test_validation_is_carved_from_train_by_class(folder):
    root = folder(count=10)
    dataset = load(_spec(root))
    assert (dataset.name, dataset.labels, dataset.input_shape) == ("pets", ("cat", "dog"), (6, 5, 3))
    assert np.bincount(dataset.train.labels).tolist() == [8, 8]
    assert np.bincount(dataset.validation.labels).tolist() == [2, 2]
    together = [image.tobytes() for part in (dataset.train, dataset.validation) for image in part.images]
    assert len(set(together)) == 20
    assert load_test(_spec(root)) is None


def test_loading_twice_gives_the_same_bytes(folder):
    root = folder(count=10)
    first, second = load(_spec(root)), load(_spec(root))
    for part in ("train", "validation"):
        assert np.array_equal(getattr(first, part).images, getattr(second, part).images)
        assert np.array_equal(getattr(first, part).labels, getattr(second, part).labels)


@pytest.mark.parametrize("name", ["val", "validation"])
def test_own_validation_and_test_folders_are_used(name, folder):
    root = folder(splits=("train", name, "test"), count=3)
    dataset, test = load(_spec(root)), load_test(_spec(root))
    assert [len(part) for part in (dataset.train, dataset.validation, test)] == [6, 6, 6]
    assert np.bincount(test.labels).tolist() == [3, 3]


def test_folders_of_classes_without_splits_are_all_training_images(folder):
    root = folder(count=10)
    with_splits = load(_spec(root))
    for entry in (root / "train").iterdir():
        entry.rename(root / entry.name)
    (root / "train").rmdir()
    (root / "README.txt").write_text("pets")
    dataset = load(_spec(root))
    assert (dataset.name, dataset.labels) == ("pets", ("cat", "dog"))
    for part in ("train", "validation"):
        assert np.array_equal(getattr(dataset, part).images, getattr(with_splits, part).images)
        assert np.array_equal(getattr(dataset, part).labels, getattr(with_splits, part).labels)
    assert load_test(_spec(root)) is None


def _images(*splits):
    return sorted(image.tobytes() for split in splits for image in split.images)


@pytest.mark.parametrize("own", [(), ("val",)])
def test_share_is_set_aside_for_the_test(own, folder):
    root = folder(splits=("train", *own), count=10)
    whole = load(_spec(root))
    spec = _spec(root, test_fraction=0.3)
    dataset, test = load(spec), load_test(spec)
    assert np.bincount(test.labels).tolist() == [3, 3]
    assert dataset.set_aside == 6
    used = [dataset.train] if own else [dataset.train, dataset.validation]
    assert _images(*used, test) == _images(*([whole.train] if own else [whole.train, whole.validation]))
    assert np.array_equal(load_test(spec).images, test.images)
    fewer = dataclasses.replace(spec, images=6)
    assert len(load(fewer).train) == (6 if own else 4)
    assert np.array_equal(load_test(fewer).images, test.images)


def test_test_images_of_its_own_are_the_test(folder):
    root = folder(splits=("train", "test"), count=5)
    spec = _spec(root, test_fraction=0.3)
    dataset, test = load(spec), load_test(spec)
    assert (len(dataset.train), len(dataset.validation), len(test), dataset.set_aside) == (8, 2, 10, 0)


def test_class_needs_images_for_all_parts(folder):
    with pytest.raises(DataError, match="Class 'cat' has 2 training images; at least 3 are needed"):
        load(_spec(folder(count=2), test_fraction=0.1))


def test_validation_may_lack_a_class(folder):
    root = folder(splits=("train", "val"))
    shutil.rmtree(root / "val" / "cat")
    dataset = load(_spec(root))
    assert set(dataset.validation.labels.tolist()) == {1}
    assert dataset.labels == ("cat", "dog")


def test_images_of_other_formats_are_named(folder):
    root = folder(splits=("train", "test"))
    assert not any(find_left_out(find_images(root), root).values())
    (root / "train" / "cat" / "more").mkdir()
    for place in ("train/dog/1.webp", "train/dog/0.BMP", "train/dog/2.jfif", "test/cat/2.tiff", "train/dog/notes.txt"):
        (root / place).write_bytes(b"x")
    assert _left_out(root) == {
        "folders": ["train/cat/more"],
        "formats": ["train/dog/0.BMP", "train/dog/1.webp", "train/dog/2.jfif", "test/cat/2.tiff"],
    }


def _left_out(root):
    found = find_left_out(find_images(root), root)
    return {kind: [str(file.relative_to(root)) for file in files] for kind, files in found.items() if files}


def test_folders_of_images_beside_the_splits_are_named(folder, draw):
    root = folder()
    for place in ("bird/0.png", "archive/bird/0.png", ".cache/0.png"):
        draw(root / place)
    (root / "notes").mkdir()
    assert _left_out(root) == {"beside": ["archive", "bird"], "hidden": [".cache"]}


def test_folder_without_images_beside_the_splits_is_not_named(folder, draw):
    root = folder()
    (root / "tests").mkdir()  # nearly the name of a split
    (root / "tests" / "notes.txt").write_text("pets")
    draw(root / "tests" / ".cache" / "0.png")
    assert _left_out(root) == {}


def test_name_that_cannot_be_printed_is_one_where_it_is_utf_8(folder, draw):
    root = folder()
    draw(root / "train" / "new\nline" / "zero\u200bwidth.png")
    assert [*find_images(root)["train"]] == ["cat", "dog", "new\nline"]


@pytest.mark.parametrize("splits", [("train", "test"), None])
def test_images_above_the_classes_and_hidden_ones_are_left_out_and_named(splits, folder, draw):
    root = folder(splits=splits) if splits else folder() / "train"
    before = find_images(root)
    place = next(iter(before["train"]["cat"])).parent
    for path in (root / "loose.png", place.parent / "loose.JPG", place / "._0.png"):
        draw(path.with_suffix(".png"))
    draw(root / "__MACOSX" / "cat" / "0.png")
    draw(place.parent / ".ipynb_checkpoints" / "0.png")
    (place / ".DS_Store").write_bytes(b"x")
    assert find_images(root) == before
    found = _left_out(root)
    assert set(found) == {"loose", "hidden"}
    assert found["loose"] == ["loose.png", *(["train/loose.png"] if splits else [])]
    assert len(found["hidden"]) == 3


def test_other_folders_and_files_are_left_alone(folder, draw):
    root = folder()
    for name in ("notes.md", "train/notes.md", "train/.cache"):
        (root / name).symlink_to(root / "nowhere")
    draw(root / "archive" / "bird" / "0.png", size=(99, 1))
    (root / "archive" / "empty").mkdir()
    (root / "README.txt").write_text("pets")
    (root / "train" / "notes.txt").write_text("x")
    (root / "train" / "cat" / "notes.txt").write_text("x")
    dataset = load(_spec(root))
    assert dataset.labels == ("cat", "dog")
    assert np.bincount(np.concatenate([dataset.train.labels, dataset.validation.labels])).tolist() == [5, 5]


def test_grey_stays_grey_and_one_colour_image_makes_all_three_channels(folder, draw):
    root = folder(channels=1)
    assert load(_spec(root)).input_shape == (6, 5, 1)
    draw(root / "train" / "cat" / "0.png", channels=4)
    assert load(_spec(root)).input_shape == (6, 5, 3)


def test_other_splits_follow_the_channels_of_train(folder, draw):
    root = folder(splits=("train", "test"), channels=1)
    draw(root / "test" / "cat" / "0.png", channels=3)
    assert load_test(_spec(root)).images.shape == (10, 6, 5, 1)


def test_sizes_may_differ_when_an_image_size_is_given(folder, draw):
    root = folder(splits=("train", "test"))
    draw(root / "train" / "dog" / "0.png", size=(30, 11))
    draw(root / "test" / "dog" / "0.png", size=(2, 2))
    assert load(_spec(root, image_size=(7, 8))).input_shape == (7, 8, 3)
    assert load_test(_spec(root, image_size=(7, 8))).images.shape == (10, 7, 8, 3)


def test_sizes_are_those_of_the_upright_images(turned, tmp_path):
    for path in turned(tmp_path).rglob("*.*"):
        if path.stem in "01234":
            path.unlink()
    assert load(_spec(tmp_path)).input_shape == (8, 13, 3)
    turned(tmp_path)
    with pytest.raises(DataError, match=r"cat/0\.jpg has 13x8 pixels and .*cat/5\.jpg 8x13; give --image-size"):
        load(_spec(tmp_path))


def _without_train(root, draw):
    shutil.rmtree(root / "train")


def _without_folders(root, draw):
    shutil.rmtree(root / "train")
    draw(root / "0.png")
    draw(root / "archive" / "2020" / "0.png")


def _with_test_alone(root, draw):
    (root / "train").rename(root / "test")


def _with_one_class_beside(root, draw):
    (root / "train" / "cat").rename(root / "cat")
    shutil.rmtree(root / "train")


def _with_an_empty_folder_beside(root, draw):
    for name in ("cat", "dog"):
        (root / "train" / name).rename(root / name)
    (root / "train").rmdir()
    (root / "labels").mkdir()


def _without_classes(root, draw):
    for label in ("cat", "dog"):
        shutil.rmtree(root / "train" / label)


def _one_class(root, draw):
    shutil.rmtree(root / "train" / "dog")


def _empty_class(root, draw):
    (root / "train" / "bird").mkdir()


def _unknown_class(split):
    def break_folder(root, draw):
        draw(root / split / "bird" / "0.png")

    return break_folder


def _beside_train(place):
    return lambda root, draw: draw(root / place / "0.png")


def _two_validations(root, draw):
    for name in ("val", "validation"):
        draw(root / name / "cat" / "0.png")


def _empty_test(root, draw):
    (root / "test").mkdir()


def _mixed_sizes(split):
    def break_folder(root, draw):
        draw(root / split / "dog" / "9.png", size=(8, 8))

    return break_folder


def _zero_bytes(root, draw):
    (root / "train" / "cat" / "3.png").write_bytes(b"")


def _no_image(root, draw):
    (root / "train" / "cat" / "3.png").write_text("not an image")


def _truncated(root, draw):
    path = root / "train" / "cat" / "3.png"
    path.write_bytes(path.read_bytes()[:60])


def _pipe(root, draw):
    os.mkfifo(root / "train" / "cat" / "pipe.png")


def _other_case(root, draw):
    (root / "Test" / "cat").mkdir(parents=True)


def _link_to_nothing(place):
    def break_folder(root, draw):
        shutil.copytree(root / "train", root / "val")
        (root / place).symlink_to(root.parent / "disk" / "that is not there")

    return break_folder


def _as_a_phone_keeps_them(*places):
    def break_folder(root, draw):
        for place in places:
            for path in (root / place).rglob("*.png"):
                path.rename(path.with_suffix(".HEIC"))
        if "train" in places:
            for name in ("cat", "dog"):
                (root / "train" / name).rename(root / name)
            (root / "train").rmdir()

    return break_folder


def _other_letters(name):
    def break_folder(root, draw):
        path = root / os.fsdecode(name)
        if path.suffix:
            shutil.copy(root / "train" / "cat" / "0.png", path)
        else:
            path.mkdir()

    return break_folder


@pytest.mark.parametrize(
    ("break_folder", "message"),
    [
        (_pipe, r"cat/pipe\.png is a pipe; remove it"),
        (
            _link_to_nothing("test"),
            r"pets/test is a link that leads nowhere; bring back what it leads to, or remove it",
        ),
        (_link_to_nothing("train/bird"), r"train/bird is a link that leads nowhere"),
        (_link_to_nothing("val/bird"), r"val/bird is a link that leads nowhere"),
        (
            _as_a_phone_keeps_them("train"),
            r"pets/cat has no images .*jpeg\), only others such as 0\.HEIC; convert them",
        ),
        (_as_a_phone_keeps_them("train/dog"), r"train/dog has no images .*, only others such as 0\.HEIC; convert them"),
        (_other_case, r"pets/Test is not read; call it test, or move it away"),
        (_other_letters(b"train/bird\xff"), r"train/bird\\xff has a name that is not UTF-8; rename it"),
        (_other_letters(b"train/cat/\xff.png"), r"train/cat/\\xff\.png has a name that is not UTF-8; rename it"),
        (lambda root, draw: shutil.rmtree(root), r"pets is not a folder"),
        (_without_train, r"has no folder train; put the images into .*train/CLASS/, or all into .*pets/CLASS/\.$"),
        (_without_folders, r"has no folder train; put the images into .*train/CLASS/, or all into .*pets/CLASS/\.$"),
        (_with_test_alone, r"has no folder train; put the images into .*train/CLASS/\.$"),
        (_with_one_class_beside, r"pets has 1 class folder; at least 2"),
        (_with_an_empty_folder_beside, r"pets/labels has no images"),
        (_without_classes, r"train has 0 class folders; at least 2"),
        (_one_class, r"train has 1 class folder; at least 2"),
        (_empty_class, r"train/bird has no images"),
        (_beside_train("validate/cat"), r"pets/validate has images and is not read .* Did you mean 'valid"),
        (_beside_train("tst"), r"pets/tst has images and is not read beside .*train; allowed are train, validation, "),
        (_unknown_class("val"), r"val/bird is a class that .*train lacks"),
        (_unknown_class("test"), r"test/bird is a class that .*train lacks"),
        (_two_validations, r"has validation and val; keep one"),
        (_empty_test, r"test has no class folders"),
        (_mixed_sizes("train"), r"cat/0\.png has 6x5 pixels and .*dog/9\.png 8x8; give --image-size"),
        (_mixed_sizes("test"), r"test/dog/9\.png 8x8; give --image-size"),
        (_zero_bytes, r"cat/3\.png is empty \(0 bytes\)"),
        (_no_image, r"cat/3\.png is neither a PNG nor a JPEG"),
        (_truncated, r"cat/3\.png is a broken image"),
    ],
)
def test_mistakes_are_refused_in_one_sentence_with_the_place(break_folder, message, folder, draw):
    root = folder()
    break_folder(root, draw)
    with pytest.raises(DataError, match=message) as caught:
        load(_spec(root))
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)


def test_image_for_print_among_grey_ones_is_refused_before_the_search(folder, draw):
    root = folder(splits=("train", "test"), channels=1)
    path = root / "test" / "cat" / "0.jpg"
    path.write_bytes(b"\xff\xd8\xff\xc0\x00\x14\x08\x00\x06\x00\x05\x04")
    for refused in (lambda: load(_spec(root)), lambda: decode_image(path, channels=1)):
        with pytest.raises(DataError, match=r"cat/0\.jpg is a JPEG with four colours for print \(CMYK\).*convert it"):
            refused()
    draw(root / "train" / "cat" / "0.png", channels=3)
    assert load(_spec(root)).input_shape == (6, 5, 3)  # it can become RGB


def test_folder_that_may_not_be_read_is_named(folder, monkeypatch):
    root = folder()
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "dog":  # root, for whom tests often run, may read everything
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(DataError, match=r"train/dog cannot be read: Permission denied\.$"):
        find_images(root)


def test_class_with_one_image_cannot_be_stratified(folder):
    with pytest.raises(DataError, match="Class 'cat' has 1 training image; at least 2"):
        load(_spec(folder(count=1)))
