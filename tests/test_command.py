"""Every end of a command has its exit status and its one line."""

import argparse
import gc
import os
import shlex
import signal
import subprocess
import sys
import termios
import threading

import pytest

from tuner import command
from tuner.errors import DataError, ExportError, TrialsFailError, TunerError, UsageError


def _raise(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1)])
def test_status_of_function_is_kept(returned, status, capsys):
    assert command.run(lambda: returned, debug=False) == status
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status"),
    [(TunerError("full"), 1), (ExportError("differs"), 1), (UsageError("wrong"), 2), (DataError("torn"), 2)],
)
def test_own_errors_are_one_line_with_their_status(error, status, capsys):
    assert command.run(_raise(error), debug=False) == status
    assert capsys.readouterr() == ("", f"Error: {error}\n")


def test_message_of_several_lines_is_joined(capsys):
    command.run(_raise(TunerError("first\n   second\n")), debug=False)
    assert capsys.readouterr().err == "Error: first second\n"


def test_unexpected_error_names_its_type_and_the_way_out(capsys):
    assert command.run(_raise(KeyError("x")), debug=False) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: unexpected KeyError")
    assert "--debug" in err
    assert "Traceback" not in err


def test_operating_system_error_names_the_file(capsys):
    assert command.run(_raise(FileNotFoundError(2, "No such file or directory", "a.png")), debug=False) == 1
    assert "a.png" in capsys.readouterr().err


def test_traceback_of_trials_that_fail_is_shown_above_the_message(capsys):
    def fail():
        raise TrialsFailError("Two trials failed.", 'Traceback:\n  File "mine.py"\nValueError: x')

    assert command.run(fail, debug=False) == 1
    assert capsys.readouterr().err == 'Traceback:\n  File "mine.py"\nValueError: x\nError: Two trials failed.\n'


def test_debug_shows_the_traceback_above_the_message(capsys):
    assert command.run(_raise(UsageError("wrong")), debug=True) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("Error: wrong\n")


def test_interrupt_prints_how_to_resume(capsys):
    assert command.run(_raise(KeyboardInterrupt()), debug=False, interrupted="Resume with: x") == 130
    assert capsys.readouterr().err == "Resume with: x\n"


@pytest.mark.parametrize(
    ("interrupted", "status"),
    [
        ("raise KeyboardInterrupt", 130),
        ("exec('raise KeyboardInterrupt')", 130),
        ("signal.raise_signal(signal.SIGTERM)", 143),
    ],
)
def test_interrupted_process_ends_with_its_status(interrupted, status, tmp_path):
    code = f"import signal\nfrom tuner import command\ndef work():\n    {interrupted}\n"
    (tmp_path / "interrupted.py").write_text(
        code + "command.leave(command.run(work, debug=False, interrupted='Resume'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": ""}
    command_line = [sys.executable, "-m", "interrupted"]
    ended = subprocess.run(command_line, capture_output=True, check=False, env=environment)
    assert (ended.returncode, ended.stderr) == (status, b"Resume\n")


def test_ctrl_c_at_the_end_shows_no_traceback():
    code = "import atexit, signal\nfrom tuner import command\n"
    code += "atexit.register(signal.raise_signal, signal.SIGINT)\ncommand.leave(3)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")
    ended = subprocess.run([sys.executable, "-c", "from tuner import command\ncommand.leave(3)"], check=False)
    assert ended.returncode == 3


def test_what_takes_long_is_told_once(capsys):
    with command.told_after("Waiting", seconds=0.01):
        (timer,) = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
        timer.join(timeout=10)
        assert capsys.readouterr() == ("", "Waiting\n")
    with command.told_after("Waiting", seconds=0.05):
        (timer,) = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    timer.join(timeout=10)
    assert capsys.readouterr() == ("", "")


def test_usage_exit_of_argparse_passes():
    with pytest.raises(SystemExit):
        command.run(_raise(SystemExit(2)), debug=False)


def test_closed_pipe_ends_quietly():
    code = "import sys\nfrom tuner import command\nsys.exit(command.run(lambda: print('x' * 100_000), debug=False))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, b"")


@pytest.mark.parametrize(("parse", "text", "number"), [(command.positive, "1", 1), (command.nonnegative, "0", 0)])
def test_lowest_whole_number_is_taken(parse, text, number):
    assert parse(text) == number


@pytest.mark.parametrize(
    ("parse", "text"),
    [(command.positive, "0"), (command.nonnegative, "-1"), (command.positive, "x"), (command.positive, "1.5")],
)
def test_other_text_is_refused_by_name(parse, text):
    with pytest.raises(argparse.ArgumentTypeError, match=repr(text)):
        parse(text)


def test_interrupt_in_a_callback_of_the_garbage_collector_is_not_lost(capsys):
    over = threading.Event()
    timer = threading.Timer(5, over.set)

    def interrupt(phase, info):
        gc.callbacks.remove(interrupt)
        raise KeyboardInterrupt

    def work():
        gc.callbacks.append(interrupt)
        gc.collect()
        timer.start()
        over.wait()
        return 0

    assert command.run(work, debug=False) == command.INTERRUPTED
    assert not over.is_set()  # what the main thread waits in does not end before
    timer.cancel()
    assert capsys.readouterr().err == "Interrupted.\n"


def test_width_of_a_terminal_is_that_of_stdout(monkeypatch):
    assert command.terminal_width() is None
    ours, theirs = os.openpty()
    try:
        termios.tcsetwinsize(theirs, (24, 57))
        with open(theirs, "w", closefd=False) as terminal:
            monkeypatch.setattr("sys.stdout", terminal)
            assert command.terminal_width() == 57
            termios.tcsetwinsize(theirs, (0, 0))
            assert command.terminal_width() is None  # it does not say
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_not_end_a_command(closed, tmp_path):
    """As a service or a `cron` job may start one."""
    code = "import os\nfrom tuner import command\n"
    code += "def work():\n    print('told')\n    os.dup(2)\n    open('done', 'w').write('x')\n"
    (tmp_path / "closed.py").write_text(code + "command.leave(command.run(work, debug=False))")
    line = f"{shlex.quote(sys.executable)} closed.py {closed}"
    done = subprocess.run(line, shell=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "done").read_text() == "x"


def test_letters_that_a_terminal_does_not_know_are_shown_by_their_codes(tmp_path):
    (tmp_path / "odd.py").write_text(
        "from tuner import command\ncommand.leave(command.run(lambda: print('\u00e9'), debug=False))"
    )
    done = subprocess.run(
        [sys.executable, "odd.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\xe9\n", b"")
