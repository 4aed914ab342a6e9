"""What is told of an error begins in the code of the person whose space it is."""

from pathlib import Path

import pytest

import tuner
from tuner.failures import kind_of
from tuner.records import FAILED

PROGRAM = Path(tuner.__file__).parent


def _message(file, statement="json.loads('{')"):
    """Returns what is told of an error of a statement in a function of a file that the program has called."""
    theirs, ours = {}, {}
    exec(compile(f"import json\ndef callbacks():\n    {statement}\n", str(file), "exec"), theirs)
    train = "def train(call):\n    try:\n        call()\n    except ValueError as error:\n        return error\n"
    exec(compile(train, str(PROGRAM / "training.py"), "exec"), ours)
    status, message = kind_of(ours["train"](theirs["callbacks"]))
    assert status == FAILED
    return message


@pytest.mark.parametrize("name", ["my_space.py", "tuner_space.py", "tuner-spaces/mine.py"])
def test_error_in_a_space_is_told_from_its_line_on_whatever_the_name_of_its_file(name):
    file = PROGRAM.parent / name  # beside a checkout of the program
    first, second, *_, last = _message(file).splitlines()
    assert (first, second) == ("Traceback (most recent call last):", f'  File "{file}", line 3, in callbacks')
    assert last.startswith("json.decoder.JSONDecodeError: Expecting property name")


def test_error_of_the_program_keeps_the_lines_that_led_there():
    *lines, last = _message(PROGRAM / "recipe.py", "raise ValueError('odd')").splitlines()
    assert [line for line in lines if line.startswith("  File ")] == [
        f'  File "{PROGRAM}/training.py", line 3, in train',
        f'  File "{PROGRAM}/recipe.py", line 3, in callbacks',
    ]
    assert last == "ValueError: odd"
