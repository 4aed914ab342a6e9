"""What a person is told to do next follows from what the study holds, and is a command that can be typed."""

import dataclasses
import shlex

import pytest

from tuner import ablate, leaderboard, predict, search, select
from tuner.ablation import Comparison
from tuner.advice import advise
from tuner.config import SearchConfig
from tuner.figures import Figures
from tuner.gates import WITHOUT
from tuner.records import COMPLETED, DIVERGED, FAILED, OUT_OF_MEMORY, RUNNING, Record
from tuner.situation import Export, Situation

WIDTH = {
    "class_name": "Int",
    "config": {"name": "width", "conditions": [], "min_value": 4, "max_value": 24, "step": 4, "default": 8},
}
RATE = {
    "class_name": "Float",
    "config": {
        "name": "rate",
        "conditions": [],
        "default": 0.01,
        "min_value": 0.001,
        "max_value": 0.1,
        "step": None,
        "sampling": "log",
    },
}
FIGURES = Figures(0.97, (0.95, 0.98), 0.1, 359, [], [])
EXPORT = Export("results/mine/model", {"width": 8, "rate": 0.01}, FIGURES)


def _record(trial, *, score=0.9, epochs=9, status=COMPLETED, params=1000, curve=(), message="", **values):
    ended = None if status == RUNNING else trial
    seen = [*curve] or ([score] * epochs if status == COMPLETED else [])
    return Record(
        trial=trial,
        parent=None,
        hyperparameters={"width": 8, "rate": 0.01, **values},
        initial_epoch=0,
        epochs=epochs,
        status=status,
        seed=0,
        params=params,
        macs=1,
        score=score if status == COMPLETED else None,
        curve={"epoch": [*range(1, len(seen) + 1)], "val_accuracy": seen, "accuracy": [value + 0.01 for value in seen]},
        message=message,
        order=ended,
    )


def _situation(*records, is_through=True, images=400, **changes):
    names = ("algorithm", "trials", "total_epochs", "costs", "objective")
    settings = {name: changes.pop(name) for name in names if name in changes}
    config = SearchConfig(space="small", max_epochs=9, batch_size=64, **settings)
    return Situation(
        name="mine",
        config=config,
        space=[WIDTH, RATE],
        records=records,
        is_through=is_through,
        validation_images=images,
        **changes,
    )


def _said(situation):
    return {advice.what: advice for advice in advise(situation)}


def test_search_that_is_not_through_goes_on_first():
    first = advise(_situation(_record(0), _record(1, status=RUNNING), is_through=False))[0]
    assert (first.what, first.command) == ("Let the search end", "python -m tuner.search --study mine")
    assert first.why.startswith("1 trial has ended")


def test_study_without_a_trial_is_searched():
    assert [advice.command for advice in advise(_situation())] == ["python -m tuner.search --study mine"]


def test_study_into_which_no_trial_fits_asks_for_more_epochs():
    (only,) = advise(_situation(total_epochs=4))
    assert only.what == "Allow more epochs"
    assert only.why == "No trial fits into 4 epochs; one that is trained to the end takes 9."
    assert only.command == "python -m tuner.search --study mine --total-epochs 9"
    (only,) = advise(_situation(total_epochs=4, is_through=False))
    assert only.what == "Let the search end"


def test_study_in_which_all_failed_says_why_and_exports_nothing():
    situation = _situation(
        _record(0, status=OUT_OF_MEMORY), _record(1, status=DIVERGED), _record(2, status=DIVERGED, message="loss nan")
    )
    only = advise(situation)
    assert [advice.what for advice in only] == ["Look at what failed"]
    assert "1 trial out of memory: try --max-params" in only[0].why
    assert "2 trials diverged: try a space whose learning rates end lower" in only[0].why


def test_cause_of_a_failure_is_told():
    bug = 'Traceback (most recent call last):\n  File "my_space.py", line 3, in callbacks\nValueError: no such file'
    said = _said(_situation(_record(0), _record(1, status=FAILED, message=bug)))
    assert "the first says: ValueError: no such file" in said["Look at what failed"].why


def test_best_run_is_exported():
    said = _said(_situation(_record(0, score=0.8), _record(1, score=0.95, epochs=3), _record(2, score=0.9)))
    export = said["Export the best network"]
    assert export.command == "python -m tuner.select mine"
    assert "Run 2 is the best (val_accuracy 0.9000 after 9 epochs)" in export.why


def test_exported_model_of_the_best_run_is_used():
    said = _said(_situation(_record(0), export=EXPORT))
    assert "Export the best network" not in said
    assert said["Use the exported model"].command == "python -m tuner.predict results/mine/model IMAGE..."
    assert "359 test images is 0.9700 (95 %: 0.9500 to 0.9800)" in said["Use the exported model"].why


def test_exported_model_of_another_run_is_made_again():
    said = _said(_situation(_record(0), _record(1, score=0.92, width=12), export=EXPORT))
    assert "model in results/mine/model is of another configuration" in said["Export the best network"].why
    assert "Use the exported model" not in said


def test_exported_model_that_is_as_good_as_the_best_is_used():
    records = [_record(0, params=500), _record(1, score=0.91, width=12), _record(2, score=0.909, width=16, params=700)]
    said = _said(_situation(*records, export=EXPORT))
    assert "It is run 0." in said["Use the exported model"].why
    assert "Export the best network" not in said
    assert "Look for a smaller network that is as good" not in said  # that one is


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("one-standard-error", "It is run 0, the cheapest of those that were as good as the best"),
        ("knee", "It is run 0, where the front of score and cost bends most."),
        ("run", "It is run 0, which --run named."),
    ],
)
def test_exported_model_that_was_chosen_by_more_than_its_score_is_used(rule, told):
    records = [
        _record(0, score=0.8),
        _record(1, score=0.95, width=12, params=2000),
        _record(2, score=0.949, params=1500),
    ]
    chosen = dataclasses.replace(EXPORT, run=0, rule=rule)
    said = _said(_situation(*records, export=chosen))
    assert "Export the best network" not in said
    assert told in said["Use the exported model"].why
    assert "Its val_accuracy was 0.8000; the best run, 1, has 0.9500." in said["Use the exported model"].why
    searched_on = _said(_situation(*records, export=dataclasses.replace(chosen, rule="best")))
    assert "that of run 0, which is not as good" in searched_on["Export the best network"].why


def test_rule_that_was_kept_is_not_asked_for_again():
    records = [_record(0), _record(1, score=0.899, width=12, params=500)]
    for rule, is_asked in (("best", True), ("one-standard-error", False)):
        said = _said(_situation(*records, export=dataclasses.replace(EXPORT, run=0, rule=rule)))
        assert ("Look for a smaller network that is as good" in said) == is_asked


def test_export_of_an_equal_configuration_is_told_by_its_number():
    records = [_record(0), _record(1), _record(2, score=0.5)]
    said = _said(_situation(*records, export=dataclasses.replace(EXPORT, run=1, rule="run")))
    assert "It is run 1, which --run named. Its accuracy" in said["Use the exported model"].why


def test_export_of_another_study_of_that_name_is_none_of_its_runs():
    other = dataclasses.replace(EXPORT, hyperparameters={"width": 99}, run=0, rule="knee")
    said = _said(_situation(_record(0), export=other))["Export the best network"].why
    assert "of another configuration, that of none of these runs." in said
    assert "not as good" not in said


def test_rule_that_another_study_of_that_name_kept_is_asked_for():
    other = dataclasses.replace(EXPORT, hyperparameters={"width": 99}, run=0, rule="one-standard-error")
    records = [_record(0), _record(1, score=0.899, width=12, params=500)]
    assert "Look for a smaller network that is as good" in _said(_situation(*records, export=other))


def test_model_without_test_images_says_so():
    untested = dataclasses.replace(EXPORT, test=None)
    assert "no test split" in _said(_situation(_record(0), export=untested))["Use the exported model"].why


@pytest.mark.parametrize(
    ("second", "is_told"),
    [
        ({"score": 0.89, "params": 500}, True),  # the standard error of 0.9 on 400 images is 0.015
        ({"score": 0.88, "params": 500}, False),
        ({"score": 0.9, "params": 1500}, False),
        ({"score": 0.95, "params": 500, "epochs": 3}, False),
        ({"score": 0.9, "params": 500, "epochs": 3}, False),  # it was trained less: nobody knows where it ends
    ],
)
def test_cheaper_run_as_good_as_the_best_is_looked_for(second, is_told):
    said = _said(_situation(_record(0), _record(1, **second)))
    assert ("Look for a smaller network that is as good" in said) == is_told


def test_cheaper_run_is_named_with_what_it_saves():
    said = _said(_situation(_record(0), _record(1, params=700), _record(2, params=600, score=0.895)))
    advice = said["Look for a smaller network that is as good"]
    assert "2 other runs are within one standard error of the best score (0.0150 with 400" in advice.why
    assert "run 2 has 600 params where the best one has 1k params" in advice.why
    assert advice.command == "python -m tuner.select mine --rule one-standard-error"


def test_standard_error_of_balanced_accuracy_is_that_of_its_small_classes():
    records = [_record(0), _record(1, score=0.87, params=500)]
    for sizes, is_told in ([(200, 200), False], [(380, 20), True]):  # 0.015 and, as of 76 images, 0.034
        situation = _situation(*records, objective="val_balanced_accuracy", validation_sizes=sizes)
        assert ("Look for a smaller network that is as good" in _said(situation)) == is_told


@pytest.mark.parametrize(
    ("sizes", "score", "changes", "is_told"),
    [
        ((64, 3), 0.9552, {}, True),  # 64 of 67
        ((64, 3), 0.98, {}, True),  # the standard error is 0.025
        ((64, 3), 0.99, {}, False),
        ((64, 3), 0.4, {"objective": "val_loss"}, True),
        ((64, 3), 0.5, {"objective": "val_balanced_accuracy"}, False),
        ((30, 37), 0.3, {}, False),  # no class is much larger
        ((), 0.3, {}, False),
    ],
)
def test_runs_that_know_the_largest_class_only_are_told_first(sizes, score, changes, is_told):
    record = dataclasses.replace(_record(0), curve={"epoch": [1], "val_accuracy": [score]}, score=score)
    first, *others = advise(_situation(record, validation_sizes=sizes, is_through=False, **changes))
    told = "No run beats always saying the largest class, which scores 0.9552"
    assert first.what.startswith(told) == is_told
    assert not any(other.what.startswith(told) for other in others)
    if is_told:
        assert "--objective val_balanced_accuracy" in first.why
        assert "--class-weights" in first.why
        assert f"the best val_accuracy of a run is {score:.4f}" in first.why
        assert ("one standard error is 0.0253" in first.why) == (score > 64 / 67)


def test_class_weights_are_advised_where_they_were_not_searched():
    record = _record(0, score=0.9, class_weights=True)
    first = advise(_situation(record, validation_sizes=(64, 3)))[0]
    assert "--objective val_balanced_accuracy" in first.why
    assert "--class-weights" not in first.why


def test_balanced_test_figure_is_told_where_it_was_sought():
    figures = Figures(0.97, (0.95, 0.98), 0.1, 100, [[90, 0], [5, 5]], [1.0, 0.5])
    export = dataclasses.replace(EXPORT, test=figures)
    said = _said(_situation(_record(0), objective="val_balanced_accuracy", export=export))
    assert "Its balanced accuracy on 100 test images is 0.7500 (95 %: " in said["Use the exported model"].why


@pytest.mark.parametrize("changes", [{"images": None}, {"objective": "val_loss"}])
def test_without_a_standard_error_no_run_is_as_good(changes):
    said = _said(_situation(_record(0), _record(1, params=10), **changes))
    assert "Look for a smaller network that is as good" not in said


def test_whole_front_is_exported_once():
    records = [_record(0, score=0.9), _record(1, score=0.7, params=10), _record(2, score=0.6, params=20)]
    sought = {"algorithm": "nsga2", "costs": ("params",)}
    first = advise(_situation(*records, **sought))[0]
    assert first.command == "python -m tuner.select mine --rule pareto"
    assert "one of these 2 in both val_accuracy and params" in first.why
    assert "Export the whole front" not in _said(_situation(*records, **sought, exported_front=[0, 1]))
    assert "Export the whole front" not in _said(_situation(*records))


def _searched(scores, **changes):
    """Returns a search whose first run is the default configuration."""
    each = [score if isinstance(score, tuple) else (score, 9) for score in scores]
    records = [_record(n, score=score, epochs=epochs, width=12 if n else 8) for n, (score, epochs) in enumerate(each)]
    return _situation(*records, **changes)


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([0.9, 0.8, 0.7], "None of 2 other runs of as many epochs beats the default"),
        ([0.5, 0.6, 0.7, 0.8], "The best run ended after 100% of all epochs"),
        ([0.5, 0.8, 0.7, 0.6], None),
        ([0.9, 0.8], None),
        ([(0.9, 9), (0.8, 9), (0.7, 3)], None),  # two of as many epochs
    ],
)
def test_search_whose_best_run_is_new_or_the_default_goes_on(scores, why):
    longer = _said(_searched(scores)).get("Search longer")
    assert (longer is not None) == (why is not None)
    if longer is not None:
        assert why in longer.why
        assert longer.command == f"python -m tuner.search --study mine --total-epochs {18 * len(scores)}"


def test_first_run_is_not_the_default_where_that_breaks_a_limit():
    scores = {0: 0.9, 1: 0.8, 2: 0.7}
    situation = _situation(*(_record(number, score=score, width=12) for number, score in scores.items()))
    assert "Search longer" not in _said(situation)


def test_twice_the_budget_counts_what_ended_early_in_full():
    """As the search does: twice what was trained could be less than what is spent."""
    early = [dataclasses.replace(_record(n, score=0.8, epochs=4, width=12), target=9) for n in (1, 2)]
    longer = _said(_situation(_record(0, score=0.9), *early))["Search longer"]
    assert longer.command == "python -m tuner.search --study mine --total-epochs 54"


def test_search_of_so_many_trials_gets_more_trials():
    longer = _said(_searched([0.9, 0.8, 0.7], trials=3))["Search longer"]
    assert longer.command == "python -m tuner.search --study mine --trials 6"


@pytest.mark.parametrize("changes", [{"is_through": False}, {"algorithm": "grid"}])
def test_search_that_has_more_to_do_or_nothing_left_is_not_prolonged(changes):
    assert "Search longer" not in _said(_searched([0.9, 0.8, 0.7], **changes))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([{"width": 24}, {"width": 24}, {}], "width (24 is its largest value)"),
        ([{"rate": 0.0011}, {}, {"rate": 0.001}], "rate (0.001 is its smallest value)"),
        ([{"rate": 0.099}, {"rate": 0.1}, {}], "rate (0.1 is its largest value)"),
        ([{"width": 4}, {"width": 4}, {}], "width (4 is its smallest value)"),
        ([{"width": 24}, {}, {}], None),
        ([{"width": 24}, {"width": 4}, {}], None),
        ([{"width": 24}, {"width": 24}, {"epochs": 3}], None),  # two of as many epochs are few
        ([{"width": 24}, {}, {}, {"width": 24, "epochs": 3}], None),
        ([{"width": 24}, {"width": 24}, {}, {"epochs": 3}], "width (24 is its largest value)"),
    ],
)
def test_space_in_which_the_best_lie_at_an_end_is_widened(values, named):
    records = [_record(number, score=0.9 - number / 100, **each) for number, each in enumerate(values)]
    wider = _said(_situation(*records)).get("Widen the space")
    assert (wider is not None) == (named is not None)
    if wider is not None:
        assert f"at the end of a range: {named}." in wider.why
        assert "a copy of search_spaces/small.py" in wider.why


def _entry(kind, **ends):
    return {"class_name": kind, "config": {"name": "x", "conditions": [], **ends}}


@pytest.mark.parametrize(
    ("entry", "value", "is_end"),
    [
        (_entry("Choice", values=[8, 16, 24]), 24, True),
        (_entry("Choice", values=[8, 16]), 16, False),  # one of two is always at an end
        (_entry("Choice", values=[0, 2, 4, 8]), 8, False),  # 0 leaves something out: no range
        (_entry("Choice", values=["a", "b", "c"]), "c", False),
        (_entry("Boolean", default=False), True, False),
        (_entry("Fixed", value=3), 3, False),
        (_entry("Int", min_value=1, max_value=3, step=1), 1, False),  # fewer than one block is none
        (_entry("Int", min_value=1, max_value=3, step=1), 3, True),
        (_entry("Int", min_value=2, max_value=7, step=1), 2, True),
        (_entry("Choice", values=[1, 2, 4]), 1, False),  # nor are fewer of a choice
        (_entry("Choice", values=[2, 4, 8]), 2, True),
        (_entry("Choice", values=[1.0, 2.0, 4.0]), 1.0, True),
        (_entry("Float", min_value=0.0, max_value=0.5, step=None), 0.0, False),
        (_entry("Float", min_value=0.5, max_value=0.5, step=None), 0.5, False),
        (_entry("Float", min_value=0.1, max_value=1.0, step=None, sampling="reverse_log"), 0.99, True),
        (_entry("Float", min_value=0.1, max_value=1.0, step=None, sampling="reverse_log"), 0.8, False),
        (_entry("Float", min_value=0.1, max_value=1.0, step=None, sampling="reverse_log"), 0.1, True),
    ],
)
def test_what_is_the_end_of_a_range(entry, value, is_end):
    records = [_record(number, x=value) for number in range(3)]
    situation = dataclasses.replace(_situation(*records), space=[entry])
    assert ("Widen the space" in _said(situation)) == is_end


@pytest.mark.parametrize(
    ("curve", "epochs", "is_told"),
    [
        ([0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.84, 0.87, 0.9], 9, True),
        ([0.1, 0.3, 0.5, 0.6, 0.7, 0.895, 0.895, 0.9, 0.9], 9, False),
        ([0.5, 0.7, 0.9], 3, False),  # it was stopped on its way
        ([0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 0.98, 1.0, 1.0], 9, False),  # there is nothing left to gain
    ],
)
def test_run_that_still_learns_gets_more_epochs(curve, epochs, is_told):
    said = _said(_situation(_record(0, score=curve[-1], epochs=epochs, curve=curve)))
    assert ("Train for more epochs" in said) == is_told
    assert not is_told or "--max-epochs 18" in said["Train for more epochs"].why


@pytest.mark.parametrize(
    ("changes", "run"),
    [
        ([{}, {"score": 0.8}], 0),
        ([{"se_ratio": 0}, {"score": 0.8}], 1),
        ([{"se_ratio": 0}, {"score": 0.8, "se_ratio": 0}], None),
        ([{"se_ratio": 16, "se_stages": "4"}], None),  # there are three stages
    ],
)
def test_what_gates_bring_is_asked_once_of_the_best_run_that_has_them(changes, run):
    records = [_record(number, **each) for number, each in enumerate(changes)]
    asked = _said(_situation(*records)).get("See what squeeze-and-excitation brings")
    assert (asked is not None) == (run is not None)
    if asked is not None:
        assert asked.why.startswith(f"Run {run}, the best one with it")
        assert asked.command == "python -m tuner.ablate mine --quick"
    seen = [Comparison("se", WITHOUT, 1, 1, 3, 0.9, -0.01, None, None, 0)]
    for situation in (_situation(*records, comparisons=seen), _situation(*records, is_through=False)):
        assert "See what squeeze-and-excitation brings" not in _said(situation)


@pytest.mark.parametrize(("training", "is_told"), [(0.99, True), (0.94, False)])
def test_run_that_knows_its_images_by_heart_is_regularised(training, is_told):
    record = _record(0)
    record = dataclasses.replace(record, curve={**record.curve, "accuracy": [training] * 9})
    said = _said(_situation(record))
    assert ("Regularise, or find more images" in said) == is_told
    assert not is_told or "99.0% of the training images and 90.0%" in said["Regularise, or find more images"].why


@pytest.mark.parametrize("values", [{}, {"horizontal_flip": False, "translation": 0.0}, {"translation": 0.125}])
def test_augmentation_is_advised_where_it_was_not_searched(values):
    record = _record(0, **values)
    record = dataclasses.replace(record, curve={**record.curve, "accuracy": [0.99] * 9})
    said = _said(_situation(record))["Regularise, or find more images"]
    assert ("--augment" in said.why) == (not values)


def test_commands_find_the_study_again_and_can_be_typed():
    parsers = {each.__name__: each._parser() for each in (search, select, ablate, leaderboard, predict)}
    records = [_record(0, score=0.9), _record(1, score=0.895, params=10), _record(2, score=0.7)]
    place = ["--results-dir", "my results"]
    situation = _situation(*records, place=place, is_through=True)
    commands = [advice.command for advice in advise(situation) if advice.command]
    assert len(commands) == 4
    for line in commands:
        python, flag, module, *arguments = shlex.split(line)
        assert (python, flag) == ("python", "-m")
        parsed = parsers[module].parse_args(arguments)
        assert (parsed.study, parsed.results_dir) == ("mine", "my results")
