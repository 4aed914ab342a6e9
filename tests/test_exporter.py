"""An export counts only when its files, opened elsewhere, predict what the trained model does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow
from samples import only_earlier_is_left

from tuner import exporter
from tuner.card import Card, DataSummary, ValidationScore
from tuner.errors import ExportError
from tuner.models.grouped import GroupedConv2D

LABELS = ["ant", "bee", "cat"]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
REPOSITORY = Path(exporter.__file__).parents[1]
FILES = {"model.keras", "saved_model", "labels.json", "card.json", "card.md"}


class OwnLoss(keras.losses.Loss):
    """A loss that a reader of the export does not have."""

    def call(self, y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class OwnLayer(keras.layers.Layer):
    """A layer that a reader of the export does not have."""

    def call(self, x):
        return x


def _model(*extra):
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Normalization(mean=[127.5], variance=[70.0**2]),
        keras.layers.Conv2D(4, 3),
        keras.layers.BatchNormalization(),
        *extra,
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer="sgd", loss=OwnLoss())
    return model


@pytest.fixture(scope="module")
def model():
    return _model(keras.layers.Dropout(0.5))


@pytest.fixture(scope="module")
def card():
    return Card(
        study="letters",
        command="python -m tuner.select letters",
        data=DataSummary("letters", (8, 8, 1), {"train": 10}, LABELS),
        algorithm="hyperband",
        hyperparameters={"width": 16},
        epochs=2,
        search_seed=0,
        training_seed=1,
        validation=ValidationScore("val_accuracy", 0.9, 2, 0.9),
        test=None,
        parameters=70,
        multiply_accumulates=1300,
        versions={"keras": "3"},
        training_seconds=1.0,
        created="2026-11-22",
    )


@pytest.fixture
def reopened(monkeypatch):
    """Lets a test say what the re-opened files predict, given what they should."""

    def fake(change):
        def reopen(directory, images, *, scratch):
            return {
                "model.keras": change(keras.models.load_model(directory / "model.keras").predict(images, verbose=0))
            }

        monkeypatch.setattr(exporter, "_reopen", reopen)

    return fake


def _export(model, directory, card, *, images=IMAGES, labels=LABELS):
    return exporter.export(model, directory, labels=labels, probe_images=images, card=card)


def _run_as_stranger(code, directory):
    """Runs code in a process without the package, where warnings of loading are errors."""
    head = "import sys; sys.modules['tuner'] = None; import warnings, numpy as np, keras, tensorflow as tf\n"
    # NumPy 2's note on TensorFlow's __array__ is not about the file.
    head += "warnings.simplefilter('error'); warnings.filterwarnings('ignore', message='__array__')\n"
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, "-I", "-c", head + code], cwd=directory, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def finished(model, card, tmp_path_factory):
    """The directory and the report of an export that went well."""
    directory = tmp_path_factory.mktemp("finished") / "new" / "model"
    return directory, _export(model, directory, card)


def test_export_is_complete_and_compared(finished):
    directory, report = finished
    assert {path.name for path in directory.iterdir()} == FILES
    assert list(directory.parent.iterdir()) == [directory]
    assert report.directory == directory
    assert set(report.differences) == {"model.keras", "saved_model"}
    assert max(report.differences.values()) <= exporter.TOLERANCE
    assert json.loads((directory / "labels.json").read_text()) == LABELS
    assert json.loads((directory / "card.json").read_text())["export_differences"] == dict(report.differences)


@pytest.mark.slow
def test_export_loads_as_its_card_says_without_the_package(finished, tmp_path):
    directory, _ = finished
    keras_snippet, saved_model_snippet = re.findall(
        r"```python\n(.*?)```", (directory / "card.md").read_text(), flags=re.DOTALL
    )
    np.save(tmp_path / "images.npy", IMAGES.astype("float32"))
    code = f"images = np.load({str(tmp_path / 'images.npy')!r})\n{keras_snippet}\nfirst = probabilities\n"
    code += f"{saved_model_snippet}\nassert not model.compiled\nassert np.abs(first - probabilities).max() < 1e-5"
    stranger = _run_as_stranger(code, directory)
    assert stranger.returncode == 0, stranger.stderr


def test_trained_model_is_not_changed(card, tmp_path, reopened):
    model = _model()
    before = model.get_weights()
    reopened(lambda p: p)
    _export(model, tmp_path / "model", card)
    assert model.compiled
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


@pytest.mark.slow
def test_tampered_file_is_refused_and_the_earlier_export_survives(model, card, earlier, monkeypatch):
    write = exporter._write_models

    def tamper(model, directory):
        write(model, directory)
        other = keras.models.load_model(directory / "model.keras")
        other.set_weights([weight + 0.01 for weight in other.get_weights()])
        other.save(directory / "model.keras")

    monkeypatch.setattr(exporter, "_write_models", tamper)
    with pytest.raises(ExportError, match=r"model\.keras predicts probabilities that differ"):
        _export(model, earlier, card)
    only_earlier_is_left(earlier)


def test_cause_of_a_failed_opening_is_told(model, card, earlier, tmp_path_factory, monkeypatch):
    script = tmp_path_factory.mktemp("script") / "reopen.py"
    script.write_text("raise ValueError('no such op')")
    monkeypatch.setattr(exporter, "_REOPEN_SCRIPT", script)
    with pytest.raises(ExportError, match="ValueError: no such op"):
        _export(model, earlier, card)
    only_earlier_is_left(earlier)


@pytest.mark.slow
def test_model_with_own_layer_is_refused_with_the_cause(card, earlier):
    with pytest.raises(ExportError, match=r"cannot be opened without this package[\s\S]*OwnLayer"):
        _export(_model(OwnLayer()), earlier, card)
    only_earlier_is_left(earlier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p + 2 * exporter.TOLERANCE, "differ"),
        (lambda p: p * np.nan, "differ"),
        (lambda p: p[:, :2], "predicts"),
        (lambda p: p[:-1], "predicts"),
    ],
    ids=["too far", "nan", "fewer classes", "fewer images"],
)
def test_other_predictions_are_refused(change, message, model, card, earlier, reopened):
    reopened(change)
    with pytest.raises(ExportError, match=message):
        _export(model, earlier, card)
    only_earlier_is_left(earlier)


def test_difference_within_tolerance_replaces_the_earlier_export(model, card, earlier, reopened):
    reopened(lambda p: p + exporter.TOLERANCE / 2)
    report = _export(model, earlier, card)
    assert report.differences["model.keras"] == pytest.approx(exporter.TOLERANCE / 2, rel=0.1)
    assert [path.name for path in earlier.parent.iterdir()] == ["model"]
    assert {path.name for path in earlier.iterdir()} == FILES


@pytest.mark.parametrize(
    ("rounding", "difference", "is_allowed"),
    [(2e-5, 3e-5, True), (2e-5, 6e-5, False), (1e-7, 2e-5, False), (0.1, 5e-4, True), (0.1, 2e-3, False)],
)
def test_difference_is_allowed_as_far_as_the_model_rounds_by_itself(
    rounding, difference, is_allowed, model, card, tmp_path, reopened, monkeypatch
):
    predict = exporter._predict
    of_one = {1: rounding}
    monkeypatch.setattr(
        exporter,
        "_predict",
        lambda model, images, batch_size=32: predict(model, images, batch_size=batch_size) + of_one.get(batch_size, 0),
    )
    reopened(lambda p: p + difference)
    if is_allowed:
        assert _export(model, tmp_path / "model", card).differences["model.keras"] == pytest.approx(difference, rel=0.1)
    else:
        with pytest.raises(ExportError, match="differ from the trained model's"):
            _export(model, tmp_path / "model", card)


@pytest.mark.slow
def test_grouped_convolutions_are_exported_as_stock_layers(card, tmp_path):
    model = _model(GroupedConv2D(4, 3, groups=2), keras.layers.BatchNormalization(), keras.layers.ReLU())
    report = _export(model, tmp_path / "model", card)  # re-opened without the package
    assert set(report.differences) == {"model.keras", "saved_model"}
    loaded = keras.models.load_model(tmp_path / "model" / "model.keras")
    assert not any(isinstance(layer, GroupedConv2D) for layer in loaded.layers)
    assert [layer.groups for layer in loaded.layers if isinstance(layer, keras.layers.Conv2D)] == [1, 2]


def test_link_stays_one(model, card, tmp_path, reopened):
    reopened(lambda predictions: predictions)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "elsewhere")
    assert _export(model, tmp_path / "model", card).directory == tmp_path / "model"
    assert (tmp_path / "model").is_symlink()
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "model"}


def test_full_disk_of_tensorflow_is_an_export_error(model, card, earlier, monkeypatch):
    def fail(model, directory):
        raise tensorflow.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(exporter, "_write_models", fail)
    with pytest.raises(ExportError, match="could not be written: No space left"):
        _export(model, earlier, card)
    only_earlier_is_left(earlier)


def test_unwritable_place_is_an_export_error(model, card, tmp_path, reopened):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="could not be written"):
        _export(model, tmp_path / "file" / "model", card)


def test_folder_that_is_not_writable_shows_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write everywhere
    with pytest.raises(ExportError, match=f"could not be written: {tmp_path} cannot be written to"):
        exporter.check_directory(tmp_path / "mine" / "model")
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_place_of_a_folder_shows_before_anything_is_done(tmp_path):
    (tmp_path / "front").touch()
    with pytest.raises(ExportError, match=f"could not be written: {tmp_path}/front is no folder; mend that"):
        exporter.check_directory(tmp_path / "front" / "run-3")


def test_hanging_process_is_given_up(model, card, earlier, monkeypatch):
    monkeypatch.setattr(exporter, "REOPEN_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(ExportError, match="within"):
        _export(model, earlier, card)
    only_earlier_is_left(earlier)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": ["ant"]}, "3 classes, but 1 label"),
        ({"images": IMAGES.astype("float32")}, "float32"),
        ({"images": IMAGES[:, :4]}, r"\(batch, 8, 8, 1\)"),
        ({"images": IMAGES[:0]}, "at least one"),
    ],
)
def test_contradictory_request_is_refused(wrong, message, model, card, tmp_path):
    with pytest.raises(ExportError, match=message):
        _export(model, tmp_path / "model", card, **wrong)
    assert list(tmp_path.iterdir()) == []


def test_directory_with_other_files_is_not_replaced(model, card, tmp_path):
    (tmp_path / "thesis.tex").write_text("two years")
    with pytest.raises(ExportError, match="something else"):
        _export(model, tmp_path, card)
    assert (tmp_path / "thesis.tex").exists()


def test_litter_of_programs_that_show_folders_is_no_other_file(model, card, tmp_path, reopened):
    reopened(lambda predictions: predictions)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".DS_Store").touch()
    _export(model, tmp_path / "model", card)
    assert (tmp_path / "model" / "model.keras").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="file holds something else than an export, file; move it away"):
        exporter.check_directory(tmp_path / "file")


def test_model_that_predicts_nan_is_refused(card, tmp_path):
    model = _model()
    model.layers[-1].bias.assign([np.nan, 0, 0])
    with pytest.raises(ExportError, match="not finite"):
        _export(model, tmp_path / "model", card)


def test_files_are_opened_with_packages_from_where_they_are_here(tmp_path, monkeypatch):
    """Some are in the user's own folder, as with `pip install --user`, or in `PYTHONPATH`."""
    (tmp_path / "only_here.py").write_text("HALF = 0.5\n")
    script = tmp_path / "elsewhere" / "reopen.py"
    script.parent.mkdir()
    script.write_text("import sys, numpy, only_here\nnumpy.savez(sys.argv[3], found=only_here.HALF)\n")
    monkeypatch.setattr(exporter, "_REOPEN_SCRIPT", script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert exporter._reopen(tmp_path, np.zeros(1), scratch=tmp_path)["found"] == 0.5


def test_reopen_script_cannot_import_the_package():
    code = f"import runpy, sys; sys.path.insert(0, {str(REPOSITORY)!r}); "
    code += f"runpy.run_path({str(exporter._REOPEN_SCRIPT)!r}); import tuner"
    process = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert process.returncode == 1
    assert "import of tuner halted" in process.stderr.splitlines()[-1]
