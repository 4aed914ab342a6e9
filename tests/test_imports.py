"""TensorFlow is imported alike everywhere; what imports made is never collected; what nobody uses is hidden."""

import gc
import importlib
import json
import os
import platform
import subprocess
import sys

import keras
import pytest

from tuner import imports


@pytest.mark.parametrize(
    ("processor", "given", "kept"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)],
)
def test_onednn_is_asked_for_where_nobody_said_otherwise(processor, given, kept, monkeypatch):
    monkeypatch.setattr(imports.platform, "machine", lambda: processor)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given or "")
    if given is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    imports.import_tensorflow()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == kept


@pytest.mark.parametrize("is_enabled", [True, False])
def test_collections_leave_out_what_imports_made(is_enabled):
    before = gc.get_freeze_count()
    try:
        if not is_enabled:
            gc.disable()
        with imports.lasting_imports():
            assert not gc.isenabled()
        assert gc.isenabled() == is_enabled
        assert gc.get_freeze_count() > before
    finally:
        gc.enable()


def test_hidden_package_is_there_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with imports.hidden("wave"), imports.hidden("wave"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("wave")
    assert importlib.import_module("wave").open


def test_package_that_is_in_use_is_not_hidden():
    with imports.hidden("json"):
        assert importlib.import_module("json") is json


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in imports.X86, reason="oneDNN is asked for on x86 only")
@pytest.mark.parametrize(("given", "printed"), [({}, "True"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "False")])
def test_tensorflow_hears_it(given, printed):
    code = (
        "from tuner.imports import import_tensorflow\nimport_tensorflow()\n"
        "from tensorflow.python.util import _pywrap_util_port as port\nprint(port.IsMklEnabled())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | given
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == printed, done.stderr


@pytest.mark.parametrize("environment", [{}, {"KERAS_BACKEND": "jax"}])
def test_keras_is_as_its_defaults_say_whatever_was_set_for_other_programs(environment, tmp_path):
    """Until then a search ended in "No module named 'jax'", and exports of half precision were refused by `select`."""
    others = {"backend": "torch", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}
    (tmp_path / "keras.json").write_text(json.dumps(others))
    code = (
        "from tuner.imports import import_tensorflow\nimport_tensorflow()\nfrom keras.config import *\n"
        "print(backend(), floatx(), image_data_format(), epsilon(), dtype_policy().name)"
    )
    environment = os.environ | {"KERAS_HOME": str(tmp_path)} | environment
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["tensorflow", "float32", "channels_last", "1e-07", "float32"], done.stderr


def test_a_keras_that_is_imported_already_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        imports.import_tensorflow()
        assert (keras.config.floatx(), os.environ["KERAS_BACKEND"]) == ("float64", "jax")
    finally:
        keras.config.set_floatx(floatx)
