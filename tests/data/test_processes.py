"""Several processes that load the same data at once get the same bytes."""

import os
import subprocess
import sys

import pytest

_CODE = """
import hashlib, sys
from tuner.data import DataSpec, load
dataset = load(DataSpec("digits", data_dir=sys.argv[1]))
print(hashlib.sha256(dataset.train.images.tobytes() + dataset.validation.images.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_processes_that_prepare_digits_at_once_agree(tmp_path):
    command = [sys.executable, "-c", _CODE, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1


@pytest.mark.slow
def test_photos_on_their_side_are_read_without_a_complaint(turned, tmp_path):
    code = """
import sys
from tuner.imports import import_tensorflow
import_tensorflow()
from tuner.data import DataSpec, load
load(DataSpec(sys.argv[1], image_size=(8, 8)))
"""
    command = [sys.executable, "-c", code, f"folder:{turned(tmp_path / 'photos')}"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}  # that of the commands; the tests' own keeps errors quiet
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (process.returncode, process.stderr) == (0, "")
