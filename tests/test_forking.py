"""The process from which workers are forked ends with the one that started it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from multiprocessing import forkserver
from pathlib import Path

from tuner.forking import start_forkserver

start_forkserver()
start_forkserver()
Path(sys.argv[1]).write_text(str(forkserver._forkserver._forkserver_pid))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_goes_on_importing(tmp_path):
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "pid")], check=True)
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_too_long_a_name_for_sockets_is_told(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    code = "from tuner.forking import start_forkserver; start_forkserver()"
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert f"TunerError: The folder of temporary files, {folder}, has too long a name" in done.stderr
