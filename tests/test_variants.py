"""The rows of an ablation: each is the configuration that was found with one thing changed, or itself."""

import pytest

from tuner.ablation import TITLES
from tuner.errors import StudyError, UsageError
from tuner.hypermodel import SEResNetHyperModel
from tuner.records import COMPLETED, Record
from tuner.variants import TABLES, best_gated_run, tables_for, variants_of

HYPERMODEL = SEResNetHyperModel(lambda hp: None, (8, 8, 1), 3, 2, 4)
VALUES = {"stages": 3, "blocks_1": 1, "blocks_2": 1, "blocks_3": 1, "width": 8, "se_ratio": 4}


def _rows(values, table):
    return variants_of(values, [table], build=HYPERMODEL.model_config)


def _configs(values, table):
    return {row.name: HYPERMODEL.model_config(row.hyperparameters) for row in _rows(values, table)}


def test_every_table_has_a_title():
    assert list(TABLES) == list(TITLES)


@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        VALUES | {"se_ratio": 3},
        VALUES | {"se_ratio_1": 0, "se_position": "pre", "squeeze": "max"},
        VALUES | {"se_stages": "2"},
    ],
    ids=["plain", "odd ratio", "mixed", "one stage"],
)
def test_every_table_has_what_was_found_once(values, table):
    rows = _rows(values, table)
    (found, *_) = _rows(values, "se")
    assert [row.network for row in rows].count(found.network) == 1
    assert len({row.network for row in rows}) == len(rows)


def test_table_se_takes_all_gates_away():
    values = VALUES | {"se_ratio_2": 2}
    configs = _configs(values, "se")
    assert list(configs) == ["with", "without"]
    assert configs["with"] == HYPERMODEL.model_config(values)
    assert configs["without"].gate_ratios == (0, 0, 0)


def test_ratios_leave_every_gate_a_unit():
    assert list(_configs(VALUES, "ratio")) == ["2", "4", "8"]  # the narrowest stage has 8 channels
    assert list(_configs(VALUES | {"width": 32}, "ratio")) == ["2", "4", "8", "16", "32"]


@pytest.mark.parametrize("stages", [{"se_ratio_1": 0, "se_ratio_3": 16}, {"se_stages": "2,3"}])
def test_ratio_changes_only_the_stages_that_have_gates(stages):
    configs = _configs(VALUES | stages, "ratio")
    assert {name: config.gate_ratios for name, config in configs.items() if name != "as found"} == {
        str(ratio): (0, ratio, ratio) for ratio in (2, 4, 8, 16)
    }


def test_stages_are_compared_one_by_one():
    configs = _configs(VALUES, "stage")
    assert {name: config.gate_ratios for name, config in configs.items()} == {
        "as found": (4, 4, 4),
        "stage 1 alone": (4, 0, 0),
        "stage 2 alone": (0, 4, 0),
        "stage 3 alone": (0, 0, 4),
    }
    assert list(_configs(VALUES | {"se_stages": "2"}, "stage")) == ["as found"]


@pytest.mark.parametrize(
    ("table", "field", "choices"),
    [
        ("squeeze", "squeeze", ["max", "avg"]),
        ("excitation", "excitation", ["relu", "tanh", "sigmoid"]),
        ("position", "se_position", ["standard", "pre", "post", "identity", "inner"]),
    ],
)
def test_choice_is_the_only_thing_that_differs(table, field, choices):
    configs = _configs(VALUES, table)
    assert [getattr(config, field) for config in configs.values()] == list(configs) == choices
    assert len({config.gate_ratios for config in configs.values()}) == 1


def _record(trial, score, **values):
    plain = {"parent": None, "seed": 0, "params": 1, "macs": 1, "initial_epoch": 0, "epochs": 1}
    return Record(trial=trial, **plain, hyperparameters=values, status=COMPLETED, score=score)


def test_best_run_with_gates_is_chosen_though_another_is_better():
    records = [_record(0, 0.9, se_ratio=0), _record(1, 0.7, se_ratio=4), _record(2, 0.8), _record(3, 0.6)]
    assert best_gated_run(records, "max").number == 2  # a ratio that a space leaves out is 16
    assert best_gated_run(records, "min").number == 3
    some = _record(4, 0.85, se_ratio=4, se_stages="2")  # one of three stages has gates
    assert best_gated_run([*records, some], "max").number == 4


def test_study_without_gates_is_refused():
    with pytest.raises(StudyError, match="No run of the study has squeeze-and-excitation"):
        best_gated_run([_record(0, 0.9, se_ratio=0), _record(1, 0.8, se_stages="7")], "max")


def test_study_without_a_score_is_refused():
    with pytest.raises(StudyError, match="No run of the study has a score yet"):
        best_gated_run([], "max")


def test_backbone_has_the_tables_that_its_gates_have():
    build = SEResNetHyperModel(lambda hp: None, (32, 32, 1), 3, 2, 4).model_config
    values = {"backbone": "MobileNet", "se_ratio": 4}
    assert tables_for(build(values)) == ["se", "ratio"]
    assert tables_for(HYPERMODEL.model_config(VALUES)) == list(TABLES)
    with pytest.raises(UsageError, match=r"--tables has 'position', .* se_mobilenet; allowed are se and ratio"):
        tables_for(build(values), ["se", "position"])
    rows = variants_of(values, ["se", "ratio"], build=build)
    assert [row.name for row in rows] == ["with", "without", "2", "4", "8", "16", "32"]
    assert [build(row.hyperparameters).se_ratio for row in rows] == [4, 0, 2, 4, 8, 16, 32]
    assert rows[0].network == rows[3].network
