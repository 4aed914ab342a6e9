"""The card holds what a reader needs, in figures that are right and tables that stay tables."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from tuner import card as card_module
from tuner import figures
from tuner.card import Card, DataSummary, ValidationScore, to_json, to_markdown

LABELS = ["ant", "bee", "cat"]
PROBABILITIES = [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.25, 0.5, 0.25]]
TRUE = [0, 1, 1, 1]


def _card(**changes):
    card = Card(
        study="letters",
        command="python -m tuner.select letters --seed 7",
        data=DataSummary("folder:letters", (28, 28, 1), {"train": 60_000, "test": 4}, LABELS),
        algorithm="hyperband",
        hyperparameters={"learning_rate": 0.00312345678, "width": 16, "augment": True, "block": "basic"},
        epochs=9,
        search_seed=7,
        training_seed=123_456,
        validation=ValidationScore("val_accuracy", 0.96666668, 8, 0.97),
        test=figures.test_figures(PROBABILITIES, TRUE, classes=3),
        parameters=1_234_567,
        multiply_accumulates=8_910_111,
        versions={"keras": "3.15.1"},
        training_seconds=3_725.4,
        created="2026-11-22",
        export_differences={"model.keras": 0.0, "saved_model": 1.4901e-8},
    )
    return dataclasses.replace(card, **changes)


def _rows(markdown):
    return [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("|")]


def test_figures_of_a_small_table():
    result = figures.test_figures(PROBABILITIES, TRUE, classes=3)
    assert result.accuracy == 0.75
    assert result.num_images == 4
    assert result.loss == pytest.approx(-(math.log(0.8) + math.log(0.6) + math.log(0.4) + math.log(0.5)) / 4)
    assert result.confusion == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert result.recall == [1.0, pytest.approx(2 / 3), None]


def test_settings_of_the_search_are_rows_of_the_training():
    card = _card(settings={"batch_size": 32, "space": "my|space.py"})
    rows = _rows(to_markdown(card))
    assert ["Batch size", "32"] in rows
    assert ["Space", "my\\|space.py"] in rows
    assert json.loads(to_json(card))["settings"] == {"batch_size": 32, "space": "my|space.py"}


@pytest.mark.parametrize(("rule", "chooser"), [("best", "the rule best"), ("run", "its number")])
def test_run_and_what_chose_it_are_told(rule, chooser):
    card = _card(run=1234, rule=rule)
    assert ["Run", f"1234, chosen by {chooser}"] in _rows(to_markdown(card))
    assert json.loads(to_json(card))["run"] == 1234
    assert "chosen by" not in to_markdown(_card())


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe, 1998, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(successes, trials, low, high):
    probabilities = [[1.0, 0.0]] * trials
    labels = [0] * successes + [1] * (trials - successes)
    interval = figures.test_figures(probabilities, labels, classes=2).accuracy_interval
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_balanced_accuracy_is_the_mean_recall():
    result = figures.test_figures(PROBABILITIES, TRUE, classes=3)
    assert result.balanced_accuracy == pytest.approx((1 + 2 / 3) / 2)
    assert result.told("val_balanced_accuracy") == (
        "balanced accuracy",
        result.balanced_accuracy,
        result.balanced_interval,
    )
    assert result.told("val_loss") == ("accuracy", 0.75, result.accuracy_interval)
    assert ["Balanced test accuracy (mean recall)", "0.8333"] in _rows(to_markdown(_card(test=result)))


@pytest.mark.parametrize(
    ("confusion", "told"),
    [
        ([[9, 1], [2, 2]], []),
        ([[9, 1], [3, 1]], ["'b\\n' was recognised worst: recall 0.2500 on 4 images"]),
        ([[0, 9], [1, 0]], ["'a' was recognised worst: recall 0.0000 on 9 images"]),  # the larger of two
        ([[0, 0], [0, 4]], ["no test images of 'a', so nothing is known of these"]),
    ],
)
def test_what_a_mean_hides_is_told(confusion, told):
    rows = [(label, column) for label in (0, 1) for column in (0, 1) for _ in range(confusion[label][column])]
    probabilities = [[1.0 - column, float(column)] for _, column in rows]
    found = figures.test_figures(probabilities, [label for label, _ in rows], classes=2)
    assert found.weaknesses(["a", "b\n"]) == told


@pytest.mark.parametrize(("names", "more"), [("abcdef", ""), ("abcdefg", " and 1 more"), ("abcdefghi", " and 3 more")])
def test_many_classes_without_test_images_are_counted(names, more):
    found = figures.test_figures([[1.0] + [0.0] * (len(names) - 1)], [0], classes=len(names))
    told = f"no test images of 'b', 'c', 'd', 'e', 'f'{more}, so nothing is known of these"
    assert found.weaknesses(names) == [told]


def test_balanced_interval_of_one_class_is_wilson_s():
    result = figures.test_figures([[0.9, 0.1]] * 81 + [[0.1, 0.9]] * 182, [0] * 263, classes=2)
    assert result.balanced_interval == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("sizes", "recalls"), [((400, 20), (0.97, 0.6)), ((200, 30, 10), (0.95, 0.9, 0.8))])
def test_balanced_interval_holds_the_expected_recall_as_often_as_it_says(sizes, recalls):
    # 1,000 tests of 95 % each: fewer than 925 hold it once in 2,500 times (binomial), were they exact.
    rng, held = np.random.default_rng(0), 0
    for _ in range(1000):
        hits = rng.binomial(sizes, recalls)
        confusion = [[0] * len(sizes) for _ in sizes]
        for label, (hit, size) in enumerate(zip(hits.tolist(), sizes, strict=True)):
            confusion[label][label] = hit
            confusion[label][label - 1] = size - hit
        shares = [hit / size for hit, size in zip(hits, sizes, strict=True)]
        low, high = figures.Figures(0.0, (0.0, 0.0), 0.0, sum(sizes), confusion, shares).balanced_interval
        held += low <= np.mean(recalls) <= high
    assert held >= 925


@pytest.mark.parametrize(("sizes", "images"), [((50, 50), 100), ((50, 0, 50), 100), ((10, 90), 36), ((1, 1, 1), 3)])
def test_balanced_accuracy_is_as_uncertain_as_that_of_fewer_images(sizes, images):
    assert figures.effective_images(sizes) == pytest.approx(images)


def test_certain_and_wrong_prediction_has_a_finite_loss():
    assert figures.test_figures([[1.0, 0.0]], [1], classes=2).loss == pytest.approx(-math.log(1e-7))


def test_figures_take_numpy_arrays_and_reach_the_json():
    np = pytest.importorskip("numpy")
    result = figures.test_figures(np.array(PROBABILITIES, "float32"), np.array(TRUE, "int64"), classes=3)
    assert result.confusion == figures.test_figures(PROBABILITIES, TRUE, classes=3).confusion
    card = _card(test=result, hyperparameters={"width": np.int64(16)})
    assert json.loads(to_json(card))["hyperparameters"]["width"] == 16


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [([], []), ([[1.0, 0.0]], [0, 1]), ([[1.0, 0.0]], [2]), ([[1.0]], [0]), ([[math.nan, 1.0]], [0])],
    ids=["no images", "lengths", "label", "classes", "nan"],
)
def test_impossible_figures_are_refused(probabilities, labels):
    with pytest.raises(ValueError, match=r"\w"):
        figures.test_figures(probabilities, labels, classes=2)


def test_json_keeps_everything_in_full_precision():
    card = _card()
    plain = json.loads(to_json(card))
    assert set(plain) == {field.name for field in dataclasses.fields(Card)}
    assert plain["hyperparameters"] == card.hyperparameters
    assert plain["test"]["accuracy_interval"] == list(card.test.accuracy_interval)
    assert plain["validation"]["score"] == 0.96666668


def test_json_has_a_line_for_each_row_of_the_confusions():
    card = _card(settings={"note": "[\n1,\n 2]", "empty": [], "widths": [[8, 16.5], [None]]})
    text = to_json(card)
    assert json.loads(text) == _plain(card)
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    for row in card.test.confusion:
        assert json.dumps(row) in lines
    assert {"[8, 16.5]", "[null]"} < set(lines)


def _plain(card):
    """Returns what the JSON of a card says, whatever its lines are."""
    return json.loads(json.dumps(dataclasses.asdict(card)))


def test_json_writes_null_for_numbers_it_does_not_have():
    card = _card(test=None, validation=ValidationScore("val_loss", math.inf, 1, 0.5))
    plain = json.loads(to_json(card))
    assert plain["test"] is None
    assert plain["validation"]["score"] is None


@pytest.mark.parametrize(
    "row",
    [
        ["Test accuracy", "0.7500"],
        ["95 % interval (Wilson)", "0.3006 to 0.9544"],
        ["Validation: `val_accuracy` at the last epoch", "0.9667"],
        ["Parameters", "1,234,567"],
        ["Multiply-accumulates an image", "8,910,111"],
        ["learning_rate", "0.003123"],
        ["augment", "True"],
        ["Training seed", "123456"],
        ["Training time", "1 h 2 min"],
        ["train", "60,000"],
        ["keras", "3.15.1"],
        ["`saved_model`", "1.5e-08"],
        ["cat", "none", "0"],
        ["True \\ predicted", "ant", "bee", "cat"],
        ["bee", "1", "2", "0"],
    ],
    ids=lambda row: row[0],
)
def test_markdown_has_row(row):
    assert row in _rows(to_markdown(_card()))


def test_markdown_shows_the_command_and_how_to_load():
    markdown = to_markdown(_card())
    assert "python -m tuner.select letters --seed 7" in markdown
    assert 'keras.models.load_model("model.keras")' in markdown
    assert 'tf.saved_model.load("saved_model")' in markdown
    assert "python -m tuner.predict" in markdown


def test_markdown_without_test_split_says_so():
    markdown = to_markdown(_card(test=None))
    assert "no test split" in markdown
    assert "Test accuracy" not in markdown
    assert "Recall" not in markdown


def test_markdown_tables_survive_any_label():
    labels = ["a|b", "new\nline", "c"]
    lines = to_markdown(_card(data=DataSummary("x", (8, 8, 3), {"train": 1}, labels))).splitlines()
    start = lines.index("| True \\ predicted | a\\|b | new line | c |")
    assert [line.replace("\\|", "").count("|") for line in lines[start : start + 5]] == [5] * 5


def test_label_is_no_markup():
    labels = ["<b>x", "*star*", "`code`", "[a](b)", "back\\slash"]
    markdown = to_markdown(_card(test=None, data=DataSummary("x", (8, 8, 3), {"train": 1}, labels)))
    assert r"5 classes: \<b\>x, \*star\*, \`code\`, \[a\](b), back\slash." in markdown


def test_name_of_the_data_and_values_are_no_markup():
    data = DataSummary("folder:<img src=x>/_my_photos", (8, 8, 3), {"train": 1}, LABELS)
    markdown = to_markdown(_card(data=data, hyperparameters={"_depth_": "*two*"}, settings={"space": "~a~.py"}))
    assert "folder:\\<img src=x\\>/\\_my_photos: images" in markdown
    assert ["\\_depth\\_", "\\*two\\*"] in _rows(markdown)
    assert ["Space", "\\~a\\~.py"] in _rows(markdown)


def test_many_classes_list_the_worst_confusions_instead():
    labels = [f"class {i}" for i in range(30)]
    probabilities = [[float(i == 29) for i in range(30)]] * 3
    result = figures.test_figures(probabilities, [4, 4, 29], classes=30)
    markdown = to_markdown(_card(test=result, data=DataSummary("x", (8, 8, 3), {"train": 1}, labels)))
    assert ["class 4", "class 29", "2"] in _rows(markdown)
    assert "True \\ predicted" not in markdown


def test_most_frequent_confusions_are_none_of_the_right_answers_and_stand_in_their_order():
    labels = [f"class {i}" for i in range(30)]
    told = [(4, 29), (4, 29), (4, 29), (29, 29), (29, 29), (29, 29), (29, 29), (5, 4), (7, 6), (7, 6)]
    probabilities = [[float(i == predicted) for i in range(30)] for _, predicted in told]
    result = figures.test_figures(probabilities, [true for true, _ in told], classes=30)
    markdown = to_markdown(_card(test=result, data=DataSummary("x", (8, 8, 3), {"train": 1}, labels)))
    rows = _rows(markdown[markdown.index("## Confusions") :])
    rows = rows[rows.index(["True", "Predicted", "Images"]) + 2 :]
    confused = [["class 4", "class 29", "3"], ["class 7", "class 6", "2"], ["class 5", "class 4", "1"]]
    assert [row for row in rows if row[0].startswith("class")] == confused


@pytest.mark.parametrize(
    ("seconds", "told"), [(12.34, "12.3 s"), (60.4, "1 min 0 s"), (125.0, "2 min 5 s"), (7_199.0, "1 h 59 min")]
)
def test_training_time_is_told_in_units_of_its_length(seconds, told):
    assert ["Training time", told] in _rows(to_markdown(_card(training_seconds=seconds)))


@pytest.mark.parametrize("wrong", [{"created": "yesterday"}, {"data": DataSummary("x", (8, 8, 1), {}, ["one"])}])
def test_contradictory_card_is_refused(wrong):
    with pytest.raises(ValueError, match=r"yesterday|1 labels"):
        _card(**wrong)


def test_card_needs_the_standard_library_only():
    code = "import sys, tuner.card; print(sorted({'numpy', 'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    assert card_module.test_figures is figures.test_figures
