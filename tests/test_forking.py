"""The process from which workers are forked ends with the one that started it."""

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
