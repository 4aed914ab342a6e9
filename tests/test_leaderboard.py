"""The ranked runs in every format, from a study that was read without TensorFlow."""

import csv
import dataclasses
import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tuner import leaderboard
from tuner.config import SearchConfig
from tuner.errors import TunerError
from tuner.leaderboard import FORMATS, rows_of, to_table, write_files
from tuner.records import COMPLETED, DIVERGED, FAILED, RUNNING, Record
from tuner.study import Study

FIELDS = "rank, run, score, best_score, best_epoch, epochs, params, macs, seconds, status, seed, hyperparameters"


def _record(trial, *, parent=None, epochs=(0, 3), score=None, status=COMPLETED, **hyperparameters):
    return Record(
        trial=trial,
        parent=parent,
        hyperparameters={"stages": 2, "width": 8, **hyperparameters},
        initial_epoch=epochs[0],
        epochs=epochs[1],
        status=status,
        seed=40 + trial,
        params=18_234,
        macs=1_250_000,
        score=score,
        best_score=score,
        best_epoch=None if score is None else epochs[1],
        curve={"epoch": list(range(epochs[0] + 1, epochs[1] + 1))} if status == COMPLETED else {},
        seconds=1.23456,
    )


ACCURACY = {"val_accuracy": "max"}

RECORDS = [
    _record(0, score=0.5, learning_rate=0.0375),
    _record(1, score=0.9, width=16, learning_rate=0.123456),
    _record(2, status=DIVERGED, score=0.0, learning_rate=1.0),
    _record(3, status=FAILED),
    _record(4, parent=1, epochs=(3, 9), score=0.95, width=16, learning_rate=0.123456),
    _record(5, status=RUNNING, optimizer="adam"),
]


@pytest.fixture
def results(tmp_path):
    """A folder with one study."""
    (tmp_path / "mine").mkdir()
    config = SearchConfig(space="tiny", max_epochs=9, batch_size=64)
    space = [
        {"class_name": kind, "config": {"name": name, "conditions": [], **ends}}
        for kind, name, ends in [
            ("Fixed", "stages", {"value": 2}),
            ("Choice", "width", {"values": [8, 16]}),
            ("Float", "learning_rate", {"min_value": 0.0, "max_value": 1.0, "sampling": "linear", "step": None}),
            ("Choice", "optimizer", {"values": ["sgd", "adam"]}),
        ]
    ]
    study = Study.create(f"sqlite:///{tmp_path}/mine/study.db", "mine", config=config, space=space, versions={})
    for record in RECORDS:
        study.begin(record, proposal={})
        if record.status != RUNNING:
            study.finish(record)
    return tmp_path


def _print(results, *arguments):
    return leaderboard.main([*arguments, "--results-dir", str(results)])


def test_json_has_exactly_the_promised_fields(results, capsys):
    assert _print(results, "mine", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(", ".join(row) == FIELDS for row in rows)
    assert rows[0] == {
        "rank": 1,
        "run": 1,
        "score": 0.95,
        "best_score": 0.95,
        "best_epoch": 9,
        "epochs": 9,
        "params": 18234,
        "macs": 1250000,
        "seconds": 2.47,
        "status": "completed",
        "seed": 44,
        "hyperparameters": {"stages": 2, "width": 16, "learning_rate": 0.123456},
    }
    assert [(row["rank"], row["run"], row["status"]) for row in rows[1:]] == [
        (2, 0, "completed"),
        (3, 2, "diverged"),
        (4, 3, "failed"),
        (5, 5, "running"),
    ]
    assert [rows[3][name] for name in ("score", "best_score", "best_epoch")] == [None, None, None]


def test_csv_has_one_column_a_hyperparameter(results, capsys):
    assert _print(results, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    promised = FIELDS.removesuffix(", hyperparameters").split(", ")
    assert list(rows[0]) == [*promised, "stages", "width", "learning_rate", "optimizer"]
    assert (rows[0]["score"], rows[0]["learning_rate"], rows[0]["optimizer"]) == ("0.95", "0.123456", "")
    assert (rows[3]["score"], rows[3]["learning_rate"]) == ("", "")
    assert rows[4]["optimizer"] == "adam"


def test_markdown_is_a_table_of_equal_rows(results, capsys):
    assert _print(results, "--format", "md") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| rank | run | score |")
    assert set(lines[1]) <= set("|-: ")
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + 5


def test_table_is_aligned_and_short(results, capsys):
    assert _print(results) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    names = "rank run score best at epochs params macs seconds status width learning_rate optimizer"
    assert " ".join(header.split()) == names
    assert " ".join(rows[0].split()) == "1 1 0.9500 0.9500 9 9 18.2k 1.25M 2.5 completed 16 0.1235 -"
    assert "stages" not in header  # every run has the same
    end = header.index("status") + len("status")
    assert all(row[:end].endswith(("completed", "diverged", "failed", "running")) for row in rows)


@pytest.mark.parametrize(("width", "blocks"), [(None, 1), (200, 1), (80, 2), (40, 3), (1, 12)])
def test_narrow_terminal_has_the_table_in_blocks_with_the_run(width, blocks):
    rows = rows_of(RECORDS, ACCURACY)
    text = to_table(rows, width=width)
    parts = [[line.split() for line in block.splitlines()] for block in text.split("\n\n")]
    assert len(parts) == blocks
    assert parts[0][0][0] == "rank"
    assert all(part[0][0] == "run" for part in parts[1:])
    columns = [column for part in parts for column in zip(*part, strict=True)]
    assert list(dict.fromkeys(columns)) == list(zip(*map(str.split, to_table(rows).splitlines()), strict=True))
    if width and width >= 40:
        assert max(len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize(("form", "blocks"), [("table", 2), ("csv", 1), ("md", 1)])
def test_only_the_table_depends_on_the_terminal(form, blocks, results, capsys, monkeypatch):
    monkeypatch.setattr("tuner.command.terminal_width", lambda: 80)
    _print(results, "--format", form)
    assert capsys.readouterr().out.count("\n\n") + 1 == blocks


@pytest.mark.parametrize("form", FORMATS)
def test_top_keeps_the_best(form, results, capsys):
    _print(results, "--format", form, "--top", "1")
    short = capsys.readouterr().out
    rows = {"json": lambda text: len(json.loads(text)), "md": lambda text: text.count("\n") - 2}
    assert rows.get(form, lambda text: text.count("\n") - 1)(short) == 1


@pytest.mark.parametrize("form", ["table", "csv", "md"])
def test_top_has_the_columns_of_all(form, results, capsys):
    """The best run alone would have no hyperparameter that varies."""
    _print(results, "--format", form)
    whole = capsys.readouterr().out.splitlines()[0]
    _print(results, "--format", form, "--top", "1")
    short = capsys.readouterr().out.splitlines()[0]
    assert short.replace(",", " ").split() == whole.replace(",", " ").split()


def test_single_run_shows_its_configuration():
    header = to_table(rows_of(RECORDS[:1], ACCURACY)).splitlines()[0]
    assert header.split()[-4:] == ["status", "stages", "width", "learning_rate"]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_rows_are_ranked_by_the_better_end(direction):
    rows = rows_of([_record(0, score=0.5), _record(1, score=0.6)], {"val_loss": direction})
    assert [row.run for row in rows] == ([1, 0] if direction == "max" else [0, 1])


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (18_234, "18.2k"), (3.9e9, "3.9G"), (1.5e13, "1.5e+04G")]
)
def test_counts_are_short(count, text):
    (row,) = rows_of([dataclasses.replace(_record(0, score=0.5), params=count)], ACCURACY)
    assert FORMATS["table"]([row]).splitlines()[1].split()[6] == text


def test_files_replace_the_old_ones_and_leave_nothing_else(tmp_path):
    for records in (RECORDS[:1], RECORDS):
        rows = rows_of(records, ACCURACY)
        write_files(rows, tmp_path)
        assert (tmp_path / "leaderboard.csv").read_text() == FORMATS["csv"](rows)
        assert (tmp_path / "leaderboard.json").read_text() == FORMATS["json"](rows)
        assert (tmp_path / "leaderboard.md").read_text() == FORMATS["md"](rows)
    assert {path.name for path in tmp_path.iterdir()} == {"leaderboard.csv", "leaderboard.json", "leaderboard.md"}


def test_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    rows = rows_of(RECORDS, ACCURACY)
    write_files(rows, tmp_path)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_files(rows[:1], tmp_path)
    assert (tmp_path / "leaderboard.csv").read_text() == FORMATS["csv"](rows)


@pytest.mark.parametrize("method", ["write_text", "replace"])
def test_full_disk_is_one_sentence_and_leaves_no_part_of_a_file(method, tmp_path, monkeypatch):
    rows = rows_of(RECORDS, ACCURACY)
    write_files(rows, tmp_path)

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, method, fail)
    message = r"leaderboard\.csv cannot be written: No space left on device\. Once that is mended, the same command"
    with pytest.raises(TunerError, match=message):
        write_files(rows[:1], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"leaderboard.csv", "leaderboard.json", "leaderboard.md"}
    assert (tmp_path / "leaderboard.csv").read_text() == FORMATS["csv"](rows)


def test_study_without_trials_says_so(tmp_path, capsys):
    (tmp_path / "new").mkdir()
    config = SearchConfig(space="tiny", max_epochs=9, batch_size=64)
    Study.create(f"sqlite:///{tmp_path}/new/study.db", "new", config=config, space=[], versions={})
    assert _print(tmp_path) == 1
    assert capsys.readouterr().err == "Error: The study new has no trial yet; continue it with --study new.\n"


def test_unknown_study_is_one_line_with_a_suggestion(results, capsys):
    assert _print(results, "mime") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "Did you mean 'mine'?" in err


@pytest.mark.parametrize("wrong", [["--top", "0"], ["--format", "xml"]])
def test_wrong_flag_exits_with_2(wrong):
    with pytest.raises(SystemExit) as end:
        leaderboard.main(wrong)
    assert end.value.code == 2


def test_reading_a_study_needs_no_tensorflow(results):
    code = (
        "import sys, tuner.leaderboard as l\n"
        f"print(l.main(['--results-dir', {str(results)!r}]), {{'tensorflow', 'keras'}} & set(sys.modules))"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.splitlines()[-1] == "0 set()"


SEVERAL = {"val_accuracy": "max", "params": "min"}
REFERENCE = {"val_accuracy": 0.0, "params": 1000.0}


def _sized(trial, score, params, *, order=None, **changes):
    order = trial if order is None else order
    return dataclasses.replace(_record(trial, score=score), params=params, order=order, **changes)


FRONT = [
    _sized(0, 0.5, 500),
    _sized(1, 0.9, 800),
    _sized(2, 0.4, 600),  # beaten by 0
    _sized(3, 0.3, 700),  # beaten by 2 as well
    _sized(4, 0.0, 100, status=DIVERGED),
    _record(5, status=RUNNING),
]


def test_with_several_objectives_runs_rank_by_their_front():
    rows = rows_of(FRONT, SEVERAL, reference=REFERENCE)
    assert [(row.run, row.front) for row in rows] == [(1, 1), (0, 1), (2, 2), (3, 3), (4, None), (5, None)]
    assert [row.rank for row in rows] == [1, 2, 3, 4, 5, 6]


def test_small_network_of_the_front_stands_above_a_better_one_that_another_beats_in_both():
    beaten = _sized(2, 0.85, 900)
    rows = rows_of([*FRONT[:2], beaten], SEVERAL, reference=REFERENCE)
    assert [(row.run, row.front, row.score) for row in rows] == [(1, 1, 0.9), (0, 1, 0.5), (2, 2, 0.85)]


def test_hypervolume_is_that_of_all_runs_up_to_the_end_of_one():
    by_run = {row.run: row.hypervolume for row in rows_of(FRONT, SEVERAL, reference=REFERENCE)}
    both = 0.5 * 0.5 + 0.4 * 0.2
    assert by_run == {0: 0.25, 1: pytest.approx(both), 2: by_run[1], 3: by_run[1], 4: None, 5: None}
    swapped = [dataclasses.replace(FRONT[0], order=1), dataclasses.replace(FRONT[1], order=0)]
    by_run = {row.run: row.hypervolume for row in rows_of(swapped, SEVERAL, reference=REFERENCE)}
    assert by_run == {1: pytest.approx(0.9 * 0.2), 0: pytest.approx(both)}


def test_front_is_summed_up_with_its_reference():
    text = leaderboard.describe_front(rows_of(FRONT, SEVERAL, reference=REFERENCE))
    ideal = "1 is val_accuracy 1 at no cost, 0 is val_accuracy 0 or 1k params"
    assert text == f"2 of 4 runs; hypervolume 0.3300 ({ideal})"
    swapped = [
        dataclasses.replace(FRONT[0], order=1),
        dataclasses.replace(FRONT[1], order=0),
    ]  # the first row ended first
    text = leaderboard.describe_front(rows_of(swapped, SEVERAL, reference=REFERENCE))
    assert text == f"2 of 2 runs; hypervolume 0.3300 ({ideal})"
    assert leaderboard.describe_front(rows_of(RECORDS, ACCURACY)) == ""


def test_files_have_front_and_hypervolume_of_several_objectives_only():
    rows = rows_of([*FRONT, _sized(6, 0.1, 900, latency_ms=1.5)], SEVERAL, reference=REFERENCE)
    first = json.loads(FORMATS["json"](rows))[0]
    assert (first["front"], first["hypervolume_reference"]) == (1, REFERENCE)
    assert next(csv.DictReader(io.StringIO(FORMATS["csv"](rows))))["front"] == "1"
    header = FORMATS["md"](rows).splitlines()[0]
    assert header.startswith("| rank | run | front | score | best | at | epochs | params | macs | latency_ms |")
    for form in ("json", "csv", "md"):
        assert "front" not in FORMATS[form](rows_of(RECORDS, ACCURACY))
