"""`python -m tuner.predict` needs an export and image files, and nothing else."""

import csv
import errno
import io
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from rich.cells import cell_len

from tuner import predict
from tuner.errors import DataError

CLASSES = [("dark", 0.75), ("bright", 0.25)]
LABELS = ["dark", "grey", "bright"]


def _write_image(path, level, *, size=(8, 6)):
    path.write_bytes(tf.io.encode_png(np.full((*size, 1), level, np.uint8)).numpy())
    return path


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export whose model judges the mean brightness of 8 × 6 grey images."""
    directory = tmp_path_factory.mktemp("export")
    model = keras.Sequential(
        [
            keras.Input((8, 6, 1)),
            keras.layers.Normalization(mean=[127.5], variance=[64.0**2]),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.layers[-1].set_weights([np.array([[-5.0, 0.0, 5.0]]), np.array([0.0, 2.0, 0.0])])
    model.save(directory / "model.keras")
    model.export(str(directory / "saved_model"), format="tf_saved_model", verbose=False)
    (directory / "labels.json").write_text(json.dumps(LABELS))
    return directory


@pytest.fixture
def photos(tmp_path):
    directory = tmp_path / "photos"
    directory.mkdir()
    for name, level in (("c.png", 255), ("a.png", 0), ("b.JPG", 127)):  # the content decides, not the name's ending
        _write_image(directory / name, level)
    (directory / "notes.txt").write_text("not an image")
    return directory


def _predict(capsys, *arguments):
    status = predict.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("model", [".", "model.keras", "saved_model"])
def test_each_form_of_the_model_names_the_image(model, export, photos, capsys):
    status, out, err = _predict(capsys, export / model, photos / "c.png")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["image", "class", "probability"]
    assert lines[1][1] == "bright"
    assert [line[-2] for line in lines[1:]] == ["bright", "grey", "dark"]
    assert sum(float(line[-1]) for line in lines[1:]) == pytest.approx(1, abs=2e-4)


def test_directory_means_its_images_in_order_of_name(export, photos, capsys):
    status, out, _ = _predict(capsys, export, photos, "--format", "csv", "--top", "1")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert [row["image"] for row in rows] == [str(photos / name) for name in ("a.png", "b.JPG", "c.png")]
    assert [row["class"] for row in rows] == ["dark", "grey", "bright"]


def test_directory_means_those_below_it_too_but_no_hidden_ones(export, photos, capsys):
    for folder in ("sub", ".thumbnails"):
        (photos / folder).mkdir()
        _write_image(photos / folder / "d.png", 0)
    _write_image(photos / ".e.png", 0)
    status, out, _ = _predict(capsys, export, photos, "--format", "csv", "--top", "1")
    assert status == 0
    names = [row["image"] for row in csv.DictReader(io.StringIO(out))]
    assert names == [str(photos / name) for name in ("a.png", "b.JPG", "c.png", "sub/d.png")]


def test_links_to_directories_are_followed_but_in_no_circle(photos, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for name, target in (("all", photos), ("again", photos), ("back", linked)):
        (linked / name).symlink_to(target)
    (photos / "round").symlink_to(tmp_path)
    found = predict.find_images([linked], on_broken=pytest.fail)
    assert [str(path.relative_to(linked)) for path in found] == [
        f"{name}/{image}" for name in ("again", "all") for image in ("a.png", "b.JPG", "c.png")
    ]


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_images_are_written_as_they_are_predicted(format_):
    given = []

    def predictions():
        for name in ("a\u2028.png", "b.png"):
            given.append(name)
            yield predict.ImagePrediction(Path(name), CLASSES)

    written = ""
    for text in predict._FORMATS[format_](predictions()):
        assert given.count("b.png") == ("b.png" in written + text)
        written += text
    if format_ == "json":
        classes = [{"class": name, "probability": probability} for name, probability in CLASSES]
        expected = [{"image": name, "classes": classes} for name in given]
        assert written == json.dumps(expected, indent=2, ensure_ascii=False) + "\n"


def test_json_has_the_classes_by_probability(export, photos, capsys):
    _, out, _ = _predict(capsys, export, photos / "a.png", "--format", "json", "--top", "9")
    ((image),) = json.loads(out)
    assert image["image"] == str(photos / "a.png")
    probabilities = [item["probability"] for item in image["classes"]]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)


def test_table_has_a_line_for_each_class_whatever_its_name():
    classes = [("new\nline", 0.5), ("\u732b", 0.25), ("cat", 0.25)]
    text = predict._table([predict.ImagePrediction(Path("a\tb.png"), classes)])
    lines = text.splitlines()
    assert [line.rstrip()[-6:] for line in lines[1:]] == ["0.5000", "0.2500", "0.2500"]
    assert "a\\tb.png  new\\nline  0.5000" in lines[1]
    assert len({cell_len(line) for line in lines[1:]}) == 1


def test_image_of_another_size_is_resized(export, tmp_path, capsys):
    image = _write_image(tmp_path / "large.png", 255, size=(40, 30))
    status, out, _ = _predict(capsys, export, image)
    assert status == 0
    assert "bright" in out.splitlines()[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_upright(orientation, export, tmp_path, monkeypatch):
    upright = PIL.Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6) * 5)
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # by PIL.Image.Transpose
    stored = upright.transpose(PIL.Image.Transpose(undone[orientation])) if orientation > 1 else upright
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    seen = []
    classifier = types.SimpleNamespace(
        image_shape=(8, 6, 1), labels=LABELS, probabilities=lambda batch: seen.extend(batch) or np.ones((len(batch), 3))
    )
    assert len(list(predict.predict(classifier, [tmp_path / "photo.png"], top=1, on_broken=pytest.fail))) == 1
    assert np.array_equal(seen[0][..., 0], np.asarray(upright))


def test_broken_image_is_reported_and_the_others_are_predicted(export, photos, capsys):
    broken = photos / "aa.png"
    broken.write_bytes(b"no image")
    status, out, err = _predict(capsys, export, photos, photos / "absent.png", "--format", "csv", "--top", "1")
    assert status == 1
    assert len(out.splitlines()) == 1 + 3
    assert [line.startswith("Error: ") for line in err.splitlines()] == [True, True]
    assert "absent.png" in err
    assert str(broken) in err


def test_only_broken_images_still_give_valid_json(export, tmp_path, capsys):
    broken = tmp_path / "x.png"
    broken.write_bytes(b"")
    status, out, err = _predict(capsys, export, broken, "--format", "json")
    assert (status, json.loads(out)) == (1, [])
    assert err.count("\n") == 1


def test_batches_do_not_mix_images_up():
    def brightness(images):
        return np.stack([images.mean((1, 2, 3)), 255 - images.mean((1, 2, 3))], axis=1) / 255

    def decode(path, image_shape):
        if int(path) % 7 == 0:
            raise DataError(f"{path} is broken")
        return np.full(image_shape, int(path), np.uint8)

    classifier = predict.Classifier((2, 2, 1), None, brightness)
    broken = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "_decode", decode)
        results = list(predict.predict(classifier, [str(i) for i in range(100)], top=2, on_broken=broken.append))
    assert len(broken) == 15
    assert len(results) == 85
    assert all(dict(result.classes)["0"] == pytest.approx(int(result.image) / 255) for result in results)


def test_missing_labels_fall_back_to_indices_with_a_warning(export, photos, tmp_path, capsys):
    model = tmp_path / "copy.keras"
    model.write_bytes((export / "model.keras").read_bytes())
    status, out, err = _predict(capsys, model, photos / "c.png", "--top", "1", "--format", "csv")
    assert status == 0
    assert out.splitlines()[1].split(",")[2] == "2"
    assert err.startswith("Warning: no labels.json")


@pytest.mark.parametrize("labels", ['["one"]', '{"a": 1}', "no json"])
def test_labels_that_do_not_fit_are_wrong_usage(labels, export, photos, tmp_path, capsys):
    model = tmp_path / "model.keras"
    model.write_bytes((export / "model.keras").read_bytes())
    (tmp_path / "labels.json").write_text(labels)
    status, out, err = _predict(capsys, model, photos / "c.png")
    assert (status, out) == (2, "")
    assert "labels.json" in err


@pytest.mark.parametrize("model", ["absent", "photos", "photos/a.png"])
def test_path_without_model_is_wrong_usage(model, photos, tmp_path, capsys):
    status, out, err = _predict(capsys, tmp_path / model, photos)
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("absent", "Model {} does not exist."),
        ("mine/study.db", "{} is no model: name an export directory, a .keras file or a SavedModel directory."),
        ("mine", "{0} contains no model: neither model.keras nor a SavedModel; that of a study is {0}/model."),
        ("mine/model", "{} contains no model: neither model.keras nor a SavedModel."),
    ],
)
def test_path_without_model_is_told_with_what_it_is_and_where_a_study_has_one(model, told, photos, tmp_path, capsys):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "study.db").touch()
    status, _, err = _predict(capsys, tmp_path / model, photos)
    assert (status, err) == (2, f"Error: {told.format(tmp_path / model)}\n")


def test_unreadable_model_fails_in_one_line(photos, tmp_path, capsys):
    (tmp_path / "model.keras").write_bytes(b"no zip")
    status, _, err = _predict(capsys, tmp_path, photos)
    assert status == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("shape", "told"), [((8,), "(8)"), ((None, None, 3), "(None, None, 3)"), ((8, 8, 2), "(8, 8, 2)")]
)
def test_model_of_something_else_than_images_is_told(shape, told, photos, tmp_path, capsys):
    inputs = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(inputs) if len(shape) == 3 else inputs
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(pooled)).save(tmp_path / "other.keras")
    status, _, err = _predict(capsys, tmp_path / "other.keras", photos)
    assert status == 1
    assert f"takes {told}, not images (height, width, channels) with 1 or 3 channels" in err


def test_model_that_is_cut_short_is_told(export, photos, tmp_path, capsys):
    cut = tmp_path / "cut.keras"
    cut.write_bytes((export / "model.keras").read_bytes()[:-100])
    assert predict.main([str(cut), str(photos)]) == 1
    assert "cut.keras cannot be opened as a model: it is cut short, or no file of Keras" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "refused"), [(".", "model.keras"), ("saved_model", "saved_model.pb"), (".", "labels.json")]
)
def test_file_that_may_not_be_read_is_not_called_damaged(model, refused, export, photos, capsys, monkeypatch):
    opened = io.open

    def open_(path, *arguments, **options):  # root may read every file
        if Path(path).name == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(io, "open", open_)
    status, _, err = _predict(capsys, export / model, photos / "a.png")
    named = refused.replace("saved_model.pb", "saved_model")
    assert (status, err) == (1, f"Error: {export}/{named} cannot be read: Permission denied; mend that.\n")


def test_image_in_a_closed_folder_is_reported_and_the_others_are_predicted(export, photos, capsys, monkeypatch):
    stat = Path.stat

    def closed(path, **options):  # root may look into every folder
        if path.name == "c.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", closed)
    status, out, err = _predict(capsys, export, photos / "c.png", photos / "a.png", "--top", 1)
    assert (status, err) == (1, f"Error: {photos}/c.png cannot be read: Permission denied.\n")
    assert out.splitlines()[1].split()[:2] == [f"{photos}/a.png", "dark"]


def test_directory_without_images_fails_before_the_model_is_opened(export, tmp_path, capsys):
    status, out, err = _predict(capsys, export, tmp_path)
    assert (status, out) == (1, "")
    assert "no png" in err


def test_nothing_to_read_is_an_empty_list_of_json(export, tmp_path, capsys):
    status, out, _ = _predict(capsys, export, tmp_path / "absent.png", "--format", "json")
    assert (status, json.loads(out)) == (1, [])


def test_nothing_to_read_is_csv_of_a_header(export, tmp_path, capsys):
    status, out, _ = _predict(capsys, export, tmp_path / "absent.png", "--format", "csv")
    assert (status, out) == (1, "image,rank,class,probability\n")


@pytest.mark.parametrize("wrong", [["--top", "0"], ["--top", "x"], ["--format", "xml"]])
def test_wrong_options_exit_with_2(wrong, capsys):
    with pytest.raises(SystemExit) as exit_:
        predict.main(["model", "image.png", *wrong])
    assert exit_.value.code == 2


def test_help_imports_no_library():
    code = (
        "import sys, tuner.predict as p\ntry: p.main(['--help'])\n"
        "except SystemExit as e: print(e.code, {'numpy', 'keras', 'tensorflow'} & set(sys.modules))"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "examples:" in out
    assert out.splitlines()[-1] == "0 set()"


@pytest.mark.slow
def test_command_keeps_its_streams_clean(export, photos):
    command = [sys.executable, "-m", "tuner.predict", export, photos, "--format", "json"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert len(json.loads(process.stdout)) == 3
    assert process.stderr == ""
