"""Lines of what a person should know of a folder of images before a search."""

from tuner.data import DataSpec
from tuner.data.notes import folder_notes


def test_fractions_that_have_no_effect_on_a_folder_are_told(tmp_path):
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.png").touch()
    source = f"folder:{tmp_path}"
    assert folder_notes(DataSpec(source)) == []
    assert folder_notes(DataSpec(source, validation_fraction=0.1, test_fraction=0.1)) == [
        "Unused    --validation-fraction: the images have a folder val",
        "Unused    --test-fraction: the images have a folder test",
    ]
    train = f"folder:{tmp_path}/train"
    assert folder_notes(DataSpec(train, validation_fraction=0.1, test_fraction=0.1)) == []


def test_images_beside_the_splits_are_told(tmp_path):
    for name in ("train/cat/0.png", "train/dog/0.png", "archive/cat/0.png", "archive/dog/0.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert folder_notes(DataSpec(f"folder:{tmp_path}")) == [
        f"Left out  2 images beside the splits, such as {tmp_path}/archive; only train, val and test are read"
    ]


def test_images_within_folders_of_classes_are_counted_whatever_the_case_of_their_names(tmp_path):
    for name in ("cat/0.png", "dog/0.png", "cat/more/0.JPG", "cat/more/deep/1.png", "cat/more/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert folder_notes(DataSpec(f"folder:{tmp_path}")) == [
        f"Left out  2 images in folders within those of classes, such as {tmp_path}/cat/more; only images directly in "
        "the folder of a class are read"
    ]


def test_images_that_lie_in_two_splits_or_two_classes_are_told(tmp_path):
    contents = {
        "train/cat/0.png": b"one",
        "train/cat/1.png": b"one",  # again where it belongs
        "train/dog/0.png": b"two",
        "train/dog/1.png": b"six",
        "train/dog/2.png": b"three",
        "test/cat/0.png": b"two",
        "test/cat/1.png": b"one",
        "test/dog/0.png": b"six",
        "test/dog/1.png": b"",
        "test/cat/2.png": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "train/dog/gone.png").symlink_to(tmp_path / "nowhere")
    assert folder_notes(DataSpec(f"folder:{tmp_path}")) == [
        f"Copies    3 images lie in another split, too, such as {tmp_path}/train/cat/0.png, the same as "
        f"{tmp_path}/test/cat/1.png; a score on what was trained with says too much",
        f"Copies    1 image lies in another class, too, such as {tmp_path}/train/dog/0.png, the same as "
        f"{tmp_path}/test/cat/0.png; no network can tell what they are",
    ]
