"""Several processes that load the same data at once get the same bytes."""

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
