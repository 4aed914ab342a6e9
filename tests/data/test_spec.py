"""A specification is plain, refuses what cannot be meant, and costs no import."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from tuner.data import DataSpec
from tuner.errors import UsageError


@pytest.mark.parametrize(
    ("source", "kind", "location"),
    [
        ("digits", "digits", ""),
        ("tfds:fashion_mnist", "tfds", "fashion_mnist"),
        ("tfds:emnist/balanced:3.1.0", "tfds", "emnist/balanced:3.1.0"),
        ("tfds:mnist:3.*.*", "tfds", "mnist:3.*.*"),
        ("folder:a b/pets", "folder", "a b/pets"),
        ("folder:C:/pets", "folder", "C:/pets"),
    ],
)
def test_source_has_a_kind_and_a_location(source, kind, location):
    spec = DataSpec(source)
    assert (spec.kind, spec.location) == (kind, location)


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (DataSpec("digits"), (8, 8)),
        (DataSpec("digits", (16, 12)), (16, 12)),
        (DataSpec("tfds:mnist", (14, 14)), (14, 14)),
        (DataSpec("tfds:mnist"), None),
        (DataSpec("folder:pets"), None),
    ],
)
def test_size_is_known_before_the_data_is_opened_where_it_is_said_or_fixed(spec, size):
    assert spec.known_size == size


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": ""}, "allowed is digits, tfds:NAME or folder:PATH"),
        ({"source": None}, "allowed is digits"),
        ({"source": "mnist"}, "written tfds:mnist"),
        ({"source": "files:x"}, "allowed is digits"),
        ({"source": "digits:8"}, "stands alone"),
        ({"source": "tfds:"}, "nothing follows"),
        ({"source": "folder:"}, "nothing follows"),
        ({"source": "folder:~nobody-of-that-name/pets"}, "no such home folder"),
        ({"source": "tfds:huggingface:mnist"}, "tfds:NAME"),
        ({"source": "tfds:../x"}, "tfds:NAME"),
        ({"image_size": (8,)}, "--image-size is"),
        ({"image_size": (8, 0)}, "--image-size is"),
        ({"image_size": (8.0, 8)}, "--image-size is"),
        ({"image_size": (True, 8)}, "--image-size is"),
        ({"image_size": 8}, "--image-size is 8"),
        ({"validation_fraction": 0}, "--validation-fraction is 0"),
        ({"validation_fraction": 1.0}, "--validation-fraction is 1.0"),
        ({"validation_fraction": float("nan")}, "--validation-fraction is nan"),
        ({"validation_fraction": "0.2"}, "--validation-fraction is '0.2'"),
        ({"test_fraction": -0.1}, "--test-fraction is -0.1"),
        ({"test_fraction": 1.0}, "--test-fraction is 1.0"),
        ({"test_fraction": float("nan")}, "--test-fraction is nan"),
        ({"test_fraction": "0.2"}, "--test-fraction is '0.2'"),
        ({"images": 0}, "--images is 0; allowed is a whole number from 1"),
        ({"images": 2.0}, "--images is 2.0"),
        ({"images": True}, "--images is True"),
        ({"data_dir": ""}, "data directory"),
        ({"data_dir": 3}, "data directory"),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(fields, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        DataSpec(**{"source": "digits", **fields})


def test_json_keeps_a_specification(tmp_path):
    spec = DataSpec("digits", image_size=(8, 9), validation_fraction=0.1, data_dir=tmp_path)
    assert DataSpec(**json.loads(json.dumps(dataclasses.asdict(spec)))) == spec
    assert spec.image_size == (8, 9)


@pytest.mark.parametrize("module", ["tuner.data", "tuner.data.spec", "tuner.data.loading", "tuner.data.__main__"])
def test_import_brings_no_heavy_library(module):
    heavy = "{'tensorflow', 'tensorflow_datasets', 'sklearn', 'numpy', 'keras'}"
    code = f"import sys, {module}; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("\n", "")


@pytest.mark.parametrize(
    ("source", "meant"), [("Digits", "digits"), ("digit", "digits"), ("fodler:flat", "folder"), ("FOLDER:x", "folder")]
)
def test_kind_with_a_typo_has_a_suggestion(source, meant):
    with pytest.raises(UsageError, match=f"The data set is '{source}'; .* Did you mean '{meant}'"):
        DataSpec(source)
