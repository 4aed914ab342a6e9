"""What is told of an error begins in the code of the person whose space it is."""

from pathlib import Path

import pytest

import tuner
from tuner.failures import kind_of
from tuner.records import FAILED, OUT_OF_MEMORY

PROGRAM = Path(tuner.__file__).parent


def _message(file, statement="json.loads('{')", *, caller="training.py", status=FAILED):
    """Returns what is told of an error of a statement in a function of a file that the program has called."""
    theirs, ours = {}, {}
    exec(compile(f"import json\ndef callbacks():\n    {statement}\n", str(file), "exec"), theirs)
    caught = "except (ValueError, MemoryError) as error:"
    train = f"def train(call):\n    try:\n        call()\n    {caught}\n        return error\n"
    exec(compile(train, str(PROGRAM / caller), "exec"), ours)
    found, message = kind_of(ours["train"](theirs["callbacks"]))
    assert found == status
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


def test_memory_that_a_callback_lacks_is_a_mistake_in_it():
    """No smaller batch would help there."""
    told = _message(PROGRAM.parent / "my_space.py", "raise MemoryError('728 TiB')", caller="callbacks.py")
    assert told.splitlines()[1].endswith('my_space.py", line 3, in callbacks')
    assert told.endswith("MemoryError: 728 TiB")
    told = _message(PROGRAM / "program.py", "raise MemoryError('728 TiB')", status=OUT_OF_MEMORY)
    assert told == "Its batches do not fit into the memory of the device: 728 TiB"
