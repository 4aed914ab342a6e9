"""The figures of an ablation, by hand."""

import dataclasses
import math

import pytest

from tuner.ablation import (
    Training,
    compare,
    paired_interval,
    read_comparisons,
    read_trainings,
    to_csv,
    to_markdown,
    verdict,
    write_trainings,
)
from tuner.errors import StudyError
from tuner.gates import WITHOUT
from tuner.records import COMPLETED, DIVERGED
from tuner.variants import Variant


def _training(network, seed, accuracy, *, status=COMPLETED):
    sizes = {"params": {"a": 110, "b": 100}[network], "macs": 1000}
    plain = {"epochs": 3, "val_loss": 0.5, "seconds": 1.25, "hyperparameters": '{"width": 4}'}
    return Training(network=network, seed=seed, status=status, val_accuracy=accuracy, **plain, **sizes)


VARIANTS = [Variant("se", "with", {}, "a"), Variant("se", "without", {}, "b"), Variant("ratio", "4", {}, "a")]
TRAININGS = [
    _training("a", 1, 0.90),
    _training("a", 2, 0.80),
    _training("a", 3, 0.70),
    _training("b", 1, 0.88),
    _training("b", 2, 0.79),
    _training("b", 3, 0.66),
]


def test_interval_is_students():
    # Mean 2, standard deviation 1; t(0.975, 2) = 4.303 (any table of Student's t): 2 -+ 4.303 / sqrt(3).
    low, high = paired_interval([1.0, 2.0, 3.0])
    assert (low, high) == (pytest.approx(-0.4841, abs=1e-4), pytest.approx(4.4841, abs=1e-4))


def test_interval_of_five_is_narrower():
    # Standard deviation sqrt(2.5); t(0.975, 4) = 2.776.
    low, high = paired_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (high - low) / 2 == pytest.approx(2.776 * math.sqrt(2.5 / 5), abs=1e-3)


@pytest.mark.parametrize("differences", [[], [0.1]])
def test_one_pair_has_no_interval(differences):
    assert paired_interval(differences) is None


def test_equal_differences_have_an_interval_without_width():
    assert paired_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_differences_are_those_of_equal_seeds():
    found, without, again = compare(VARIANTS, TRAININGS, found="a")
    assert (found.accuracy, found.difference, found.low) == (pytest.approx(0.8), None, None)
    assert again.accuracy == found.accuracy
    assert without.difference == pytest.approx(-0.07 / 3)
    expected = paired_interval([-0.02, -0.01, -0.04])
    assert (without.low, without.high) == pytest.approx(expected)
    assert (without.params, without.macs, without.seeds, without.failed) == (100, 1000, 3, 0)


def test_rows_are_of_the_accuracy_that_is_asked_for(tmp_path):
    trainings = [dataclasses.replace(each, val_balanced_accuracy=each.val_accuracy / 2) for each in TRAININGS]
    write_trainings(trainings, tmp_path / "trainings.csv")
    rows = compare(VARIANTS, read_trainings(tmp_path / "trainings.csv"), found="a", metric="val_balanced_accuracy")
    assert (rows[0].accuracy, rows[1].difference) == (pytest.approx(0.4), pytest.approx(-0.07 / 6))
    assert "| variant | val_balanced_accuracy | difference |" in to_markdown(rows, title="x")
    assert "+0.0117 balanced validation accuracy (95 %" in verdict([dataclasses.replace(rows[1], variant=WITHOUT)])


def test_verdict_is_of_networks_without_gates_alone():
    other = dataclasses.replace(compare(VARIANTS, TRAININGS, found="a")[1], table="ratio", variant="8")
    assert verdict([other]) == ""
    assert verdict([other, dataclasses.replace(other, difference=-0.5, variant=WITHOUT)]).startswith("brings +0.5000")


def test_training_that_failed_leaves_its_pair_out():
    trainings = [*TRAININGS[:5], _training("b", 3, math.nan, status=DIVERGED)]
    _, without, _ = compare(VARIANTS, trainings, found="a")
    assert (without.seeds, without.failed) == (2, 1)
    assert without.difference == pytest.approx(-0.015)
    assert without.accuracy == pytest.approx(0.835)


def test_network_that_never_got_through_has_no_figures():
    trainings = [*TRAININGS[:3], _training("b", 1, math.nan, status=DIVERGED)]
    _, without, _ = compare(VARIANTS, trainings, found="a")
    assert (without.accuracy, without.difference, without.low, without.failed) == (None, None, None, 1)


def test_trainings_come_back_from_their_file(tmp_path):
    path = tmp_path / "trainings.csv"
    assert read_trainings(path) == []
    write_trainings(TRAININGS, path)
    assert read_trainings(path) == TRAININGS
    write_trainings([_training("b", 3, math.nan, status=DIVERGED)], path)
    (back,) = read_trainings(path)
    assert math.isnan(back.val_accuracy)
    assert [file.name for file in tmp_path.iterdir()] == ["trainings.csv"]


@pytest.mark.parametrize("cut", ['"{""width"": 4', '"{""wid', '"[4]"', ""])
def test_file_that_was_cut_is_refused_by_name(cut, tmp_path):
    path = tmp_path / "trainings.csv"
    write_trainings(TRAININGS, path)
    last = '"{""width"": 4}"'
    begin, found, _ = path.read_text().rpartition(last)
    assert found
    path.write_text(begin + cut)
    with pytest.raises(StudyError, match=r"trainings\.csv is not what an ablation wrote .* move it away"):
        read_trainings(path)


def test_file_that_may_not_be_read_is_not_called_damaged(tmp_path):
    (tmp_path / "trainings.csv").mkdir()  # root may read every file
    with pytest.raises(StudyError, match=r"trainings\.csv cannot be read: Is a directory; mend that\."):
        read_trainings(tmp_path / "trainings.csv")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "network,seed\nx,y\n", f"network,seed\n{'x' * 200_000},1\n"])
def test_file_of_something_else_is_refused_by_name(text, tmp_path):
    (tmp_path / "trainings.csv").write_text(text)
    with pytest.raises(StudyError, match=r"trainings\.csv is not what an ablation wrote .* move it away"):
        read_trainings(tmp_path / "trainings.csv")


def test_tables_come_back_from_their_file(tmp_path):
    path = tmp_path / "ablation.csv"
    assert read_comparisons(path) == []
    rows = compare(VARIANTS, [*TRAININGS[:5], _training("b", 3, math.nan, status=DIVERGED)], found="a")
    path.write_text(to_csv(rows))
    assert read_comparisons(path) == rows
    path.write_text("table,variant\nse,without\n")
    with pytest.raises(StudyError, match=r"ablation\.csv is not what an ablation wrote .* ablate again"):
        read_comparisons(path)


def test_tables_are_markdown_and_csv():
    rows = compare(VARIANTS, TRAININGS, found="a")
    text = to_markdown(rows, title="Ablation of run 3 of mine")
    assert text.startswith("# Ablation of run 3 of mine\n\n## With and without SE\n\n| variant |")
    assert "| with | 0.8000 | - | - | 3 | 0 | 110 | 1,000 |" in text
    assert "| without | 0.7767 | -0.0233 | -0.0613 to +0.0146 | 3 | 0 | 100 | 1,000 |" in text
    assert "## Reduction ratio (the paper's table 10)" in text
    lines = to_csv(rows).splitlines()
    assert lines[0] == "table,variant,params,macs,seeds,accuracy,difference,low,high,failed,metric"
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["se", "with", "110"],
        ["se", "without", "100"],
        ["ratio", "4", "110"],
    ]
