"""The benchmarks of the engine and of learning curves tell a person's mistake in one line, and no folder in a row."""

import importlib
from pathlib import Path

import pytest

from tuner.errors import UsageError

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def _run(monkeypatch, program, *flags):
    monkeypatch.setattr("sys.argv", [f"benchmarks/{program}.py", *flags])
    return importlib.import_module(program).main()


@pytest.mark.parametrize(
    ("program", "flags", "message"),
    [
        ("engine", ["speed", "--report", "--space", "nosuch"], "There is no search space 'nosuch'"),
        ("engine", ["target", "--report", "--dataset", "tfds:mnist"], "target knows no accuracy to wait for"),
        ("engine", ["speed", "--report", "--only", "nosuch"], "--only is 'nosuch'; speed compares"),
        ("record_curves", ["--report", "--space", "nosuch"], "There is no search space 'nosuch'"),
        pytest.param(
            *("record_curves", ["--dataset", "nosuch", "--configs", "1"], "The data set is 'nosuch'"),
            marks=pytest.mark.slow,  # a pool of processes begins
        ),
        ("record_curves", ["--recorded"], "add --report."),
        ("averages", ["--report", "--space", "nosuch"], "There is no search space 'nosuch'"),
    ],
)
def test_a_mistake_is_one_line(program, flags, message, monkeypatch, capsys, tmp_path):
    assert _run(monkeypatch, program, *flags, "--results", str(tmp_path)) == 2
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 1
    assert message in shown[0]


def test_a_negative_seed_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        _run(monkeypatch, "engine", "speed", "--report", "--seeds", "-1")
    assert "no whole number" in capsys.readouterr().err


def test_curves_of_before_gates_began_open_are_reported(monkeypatch, capsys):
    assert _run(monkeypatch, "record_curves", "--report", "--recorded") == 0
    assert capsys.readouterr().out.startswith("n = 100 configurations, 0 of them diverged, 27 epochs")


def test_a_recorded_command_names_no_folder(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/home/me/benchmarks/engine.py", "speed", "--results", "/home/me/rows"])
    from record_curves import command_line

    assert command_line() == "python benchmarks/engine.py speed --results rows"


def test_a_program_that_fails_is_told_without_its_arguments():
    import programs

    with pytest.raises(programs.TunerError, match="ended with status 1; what it said is above"):
        programs._run(["-c", "raise SystemExit(1)"])


@pytest.fixture
def book(tmp_path):
    """Rows that are not there yet."""
    from book import Book
    from programs import Setting

    setting = Setting(
        space="tiny", dataset="digits", images=None, image_size=None, max_epochs=1, mixed_precision="auto"
    )
    return Book(tmp_path, "speed", setting)


def test_rows_of_two_processors_stand_in_no_table_together(book, monkeypatch):
    for name, program, speed in (("old", "a", 1), ("old", "b", 2), ("new", "a", 3), ("new", "c", 4), ("new", "a", 5)):
        monkeypatch.setattr("book.processor_kind", lambda name=name: name)
        book.add({"program": program, "seed": 0, "images_per_second": speed}, load=0.0)
    assert [(row["program"], row["images_per_second"]) for row in book.rows([0])] == [("a", "5"), ("c", "4")]
    assert book.rows([1]) == []


def test_a_row_with_other_columns_is_refused(book):
    book.path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="has other columns"):
        book.check(["a", "c"])
