"""The page of a study shows what it holds, opens without a network, and is written whole or not at all."""

import errno
import html.parser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from tuner import report
from tuner.ablation import Comparison, to_csv
from tuner.advice import advise
from tuner.card import Card, DataSummary, ValidationScore, to_json
from tuner.charts import charts
from tuner.config import SearchConfig
from tuner.figures import Figures
from tuner.leaderboard import rows_of
from tuner.page import render
from tuner.records import COMPLETED, DIVERGED, RUNNING, Record
from tuner.situation import Situation
from tuner.study import Study

ROOT = Path(__file__).parents[1]
SPACE = [
    {"class_name": kind, "config": {"name": name, "conditions": [], **ends}}
    for kind, name, ends in [
        ("Int", "width", {"min_value": 1, "max_value": 24, "step": 1, "sampling": "linear"}),
        ("Float", "learning_rate", {"min_value": 0.001, "max_value": 1.0, "sampling": "log", "step": None}),
        ("Choice", "optimizer", {"values": ["</script><b>sgd", "adam"]}),
    ]
]
VALUES = {"width": 16, "learning_rate": 0.1, "optimizer": "adam"}


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch):
    """Leaves the 5 MB of Plotly's program out of the pages, which a test of its own has in its page."""
    monkeypatch.setattr("tuner.page.get_plotlyjs", lambda: "")


def _record(trial, *, parent=None, epochs=(0, 3), score=0.9, status=COMPLETED, message="", **values):
    seen = [*range(epochs[0] + 1, epochs[1] + 1)] if status == COMPLETED else []
    return Record(
        trial=trial,
        parent=parent,
        hyperparameters={**VALUES, **values},
        initial_epoch=epochs[0],
        epochs=epochs[1],
        status=status,
        seed=0,
        params=1000 * (trial + 1),
        macs=1,
        score=score if status == COMPLETED else None,
        best_score=score,
        best_epoch=epochs[1],
        curve={"epoch": seen, "val_accuracy": [score - (epochs[1] - epoch) / 100 for epoch in seen]},
        seconds=1.0,
        message=message,
        order=None if status == RUNNING else trial,
    )


RECORDS = [
    _record(0, score=0.95, epochs=(0, 9)),
    *(
        _record(number, score=0.5 + number / 50, width=8 * (1 + number % 3), learning_rate=0.01 * number)
        for number in range(1, 12)
    ),
    _record(12, status=DIVERGED, message="the loss is not finite", learning_rate=1.0),
    _record(13, parent=11, epochs=(3, 9), score=0.97, width=24, learning_rate=0.11),
    _record(14, optimizer="</script><b>sgd", score=0.6),
]


def _study(folder, records=RECORDS, *, name="mine", **changes):
    (folder / name).mkdir()
    config = SearchConfig(space="small", max_epochs=9, batch_size=64, **changes)
    url = f"sqlite:///{folder}/{name}/study.db"
    nothing = {"val_accuracy": 0.0, "params": 20_000}
    study = Study.create(url, name, config=config, space=SPACE, versions={"keras": "3.15.1"}, reference=nothing)
    for record in records:
        study.begin(record, proposal={})
        if record.status != RUNNING:
            study.finish(record)
    return study


def _export(folder, figures=None, *, where="model", chosen=None, **values):
    """Leaves the card of an exported model."""
    labels = ["a", "b"]
    card = Card(
        study="mine",
        command="",
        data=DataSummary("digits", (8, 8, 1), {}, labels),
        algorithm="auto",
        hyperparameters={**VALUES, **values},
        epochs=9,
        search_seed=0,
        training_seed=0,
        validation=ValidationScore("val_accuracy", 0.97, 9, 0.97),
        test=figures,
        parameters=1,
        multiply_accumulates=1,
        versions={},
        training_seconds=1.0,
        created="2026-11-30",
    )
    plain = json.loads(to_json(card))
    del plain["run"], plain["rule"]  # as an older program wrote it
    (folder / "mine" / where).mkdir(parents=True)
    (folder / "mine" / where / "card.json").write_text(json.dumps(plain | (chosen or {})))


class _Page(html.parser.HTMLParser):
    """Gathers the text of a page, what it loads, and the tags that are open at its end."""

    def __init__(self, text):
        super().__init__()
        self.words, self.loaded, self.open = [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.loaded += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if not set(self.open) & {"script", "style"}:
            self.words.append(text)


def _written(results, *arguments):
    assert report.main(["mine", "--results-dir", str(results), *arguments]) == 0
    return (results / "mine" / "report.html").read_text(encoding="utf-8")


def test_page_shows_what_the_study_holds(tmp_path):
    _study(tmp_path)
    page = _Page(_written(tmp_path))
    assert page.open == []
    for shown in (
        "val_accuracy of run 11, 9 epochs 0.9700",
        "runs 14 trials 15",
        "epochs trained 51",
        f"python -m tuner.select mine --results-dir {tmp_path}",
        "trial 12, diverged the loss is not finite",
        "keras 3.15.1",
        "</script><b>sgd",  # as text
    ):
        assert shown in page.text
    ranks = re.findall(r"<tr><td>(\d+)</td><td>(\d+)</td>", (tmp_path / "mine" / "report.html").read_text())
    assert ranks[:2] == [("1", "11"), ("2", "0")]
    assert len(ranks) == 14


def test_leaderboard_says_how_it_ranks(tmp_path):
    _study(tmp_path)
    assert "Leaderboard Runs of more epochs stand above those of fewer, because" in _Page(_written(tmp_path)).text


def test_leaderboard_of_several_objectives_explains_its_fronts(tmp_path):
    _study(tmp_path, costs=("params",), algorithm="nsga2")
    text = _Page(_written(tmp_path)).text
    assert (
        "No other run beats one of front 1 in val_accuracy and params at once; only those beat one of front 2" in text
    )
    assert "Front 1 has 2 of 13 runs; hypervolume 0.9" in text
    assert "because their scores are not comparable" not in text


def test_page_loads_nothing_from_elsewhere(tmp_path):
    _study(tmp_path)
    text = _written(tmp_path)
    assert _Page(text).loaded == []
    assert "Plotly.newPlot" in text
    assert "<script src" not in text


def test_page_says_on_the_terminal_what_to_do(tmp_path, capsys):
    _study(tmp_path)
    _written(tmp_path)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"Report    {tmp_path}/mine/report.html"
    assert second == f"Next      1. Let the search end: python -m tuner.search --study mine --results-dir {tmp_path}"


def test_page_goes_where_a_person_wants_it(tmp_path):
    _study(tmp_path)
    assert report.main(["--results-dir", str(tmp_path), "--output", str(tmp_path / "page.html")]) == 0
    assert "What to do next" in (tmp_path / "page.html").read_text()
    assert not (tmp_path / "mine" / "report.html").exists()


def test_folder_that_cannot_be_written_to_asks_for_another_place(tmp_path, capsys, monkeypatch):
    _study(tmp_path)
    monkeypatch.setattr(
        report, "obstacle", lambda folder: f"{folder} cannot be written to"
    )  # root may write everywhere
    assert report.main(["--results-dir", str(tmp_path)]) == 2
    told = (
        f"{tmp_path}/mine/report.html cannot be written: {tmp_path}/mine cannot be written to; say with --output where"
    )
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "0 trials have ended"),
        ([_record(0, status=RUNNING)], "Let the search end"),
        ([_record(0, status=DIVERGED, message="not finite")], "Look at what failed"),
        ([_record(0)], "Export the best network"),
    ],
)
def test_study_with_little_in_it_has_a_page(tmp_path, records, said):
    _study(tmp_path, records)
    page = _Page(_written(tmp_path))
    assert said in page.text
    assert page.open == []


def test_test_figures_of_the_exported_model_are_shown(tmp_path):
    _study(tmp_path)
    _export(
        tmp_path, Figures(0.9612, (0.95, 0.97), 0.1, 359, [[1, 0], [0, 1]], [1.0, 1.0]), width=24, learning_rate=0.11
    )
    text = _Page(_written(tmp_path)).text
    assert "test accuracy of the export 0.9612" in text
    assert "Use the exported model" in text


def test_tables_of_an_ablation_are_shown(tmp_path):
    _study(tmp_path)
    found = Comparison("se", "as found", 1000, 2000, 3, 0.95, None, None, None, 0)
    without = Comparison("se", "without", 900, 1900, 3, 0.94, -0.01, -0.02, 0.005, 1)
    (tmp_path / "mine" / "ablation.csv").write_text(to_csv([found, without]))
    text = _Page(_written(tmp_path)).text
    assert "it brings +0.0100 validation accuracy (95 %: -0.0050 to +0.0200), 3 seeds; 1 training without it" in text
    assert "With and without SE variant val_accuracy" in text
    assert "without 0.9400 -0.0100 -0.0200 to +0.0050 3 1 900 1,900" in text
    assert "See what squeeze-and-excitation brings" not in text


def test_ablation_that_cannot_be_read_is_named(tmp_path, capsys):
    _study(tmp_path)
    (tmp_path / "mine" / "ablation.csv").write_text("table,variant\nse,without\n")
    assert report.main(["mine", "--results-dir", str(tmp_path)]) == 1
    assert f"{tmp_path}/mine/ablation.csv is not what an ablation wrote" in capsys.readouterr().err


def test_exported_front_is_not_asked_for_again(tmp_path):
    _study(tmp_path, costs=("params",), algorithm="nsga2")
    assert "Export the whole front" in _Page(_written(tmp_path)).text
    for run in (0, 11):
        (tmp_path / "mine" / "front" / f"run-{run}").mkdir(parents=True)
    assert "Export the whole front" not in _Page(_written(tmp_path)).text


def test_best_run_of_an_exported_front_is_its_export(tmp_path, capsys):
    _study(tmp_path, costs=("params",), algorithm="nsga2")
    figures = Figures(0.9612, (0.95, 0.97), 0.1, 359, [[1, 0], [0, 1]], [1.0, 1.0])
    _export(tmp_path, figures, where="front/run-0", chosen={"run": 0, "rule": "pareto"})
    best = {"where": "front/run-11", "width": 24, "learning_rate": 0.11}
    _export(tmp_path, figures, **best, chosen={"run": 11, "rule": "pareto"})
    text = _Page(_written(tmp_path)).text
    assert "test accuracy of the export 0.9612" in text
    assert "It is run 11, the best of the front, whose others lie beside it." in text
    assert "Export the best network" not in text
    assert f"Use the exported model: python -m tuner.predict {tmp_path}/mine/front/run-11 " in capsys.readouterr().out


def test_model_that_a_rule_chose_comes_before_the_front(tmp_path):
    _study(tmp_path, costs=("params",), algorithm="nsga2")
    _export(tmp_path, width=16, learning_rate=0.01, chosen={"run": 1, "rule": "knee"})
    _export(tmp_path, where="front/run-11", width=24, learning_rate=0.11, chosen={"run": 11, "rule": "pareto"})
    assert "It is run 1, where the front" in _Page(_written(tmp_path)).text


def test_renamed_folder_of_a_front_is_passed_over(tmp_path):
    _study(tmp_path, costs=("params",), algorithm="nsga2")
    for name in ("run-0", "run-11-old", "run-x"):
        (tmp_path / "mine" / "front" / name).mkdir(parents=True)
    assert "Export the whole front" in _Page(_written(tmp_path)).text


def test_study_of_a_shared_storage_gets_a_folder(tmp_path, capsys):
    _study(tmp_path)
    results, url = tmp_path / "elsewhere", f"sqlite:///{tmp_path}/mine/study.db"
    assert report.main(["mine", "--results-dir", str(results), "--storage", url]) == 0
    assert (results / "mine" / "report.html").exists()
    (tmp_path / "file").touch()
    assert report.main(["mine", "--results-dir", str(tmp_path / "file"), "--storage", url]) == 2
    assert "file/mine cannot be made: Not a directory; say with --output" in capsys.readouterr().err


def test_card_that_may_not_be_read_is_not_called_damaged(tmp_path, capsys, monkeypatch):
    _study(tmp_path)
    _export(tmp_path)
    read = Path.read_text

    def refused(path, **options):  # root may read everything
        if path.name == "card.json":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path, **options)

    monkeypatch.setattr(Path, "read_text", refused)
    assert report.main(["mine", "--results-dir", str(tmp_path)]) == 1
    assert f"{tmp_path}/mine/model/card.json cannot be read: Permission denied; mend that." in capsys.readouterr().err


def test_card_that_cannot_be_read_is_named(tmp_path, capsys):
    _study(tmp_path)
    _export(tmp_path)
    (tmp_path / "mine" / "model" / "card.json").write_text("{}")
    assert report.main(["mine", "--results-dir", str(tmp_path)]) == 1
    assert f"{tmp_path}/mine/model/card.json is not as tuner.select writes it" in capsys.readouterr().err
    assert not (tmp_path / "mine" / "report.html").exists()


def test_page_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    _study(tmp_path)
    assert report.main(["mine", "--results-dir", str(tmp_path), "--output", str(tmp_path / "no" / "page.html")]) == 1
    assert re.fullmatch(
        r"Error: .*no/page.html cannot be written: No such file or directory.*\n", capsys.readouterr().err
    )


def test_unknown_study_is_told_with_the_known_ones(tmp_path, capsys):
    _study(tmp_path)
    assert report.main(["mime", "--results-dir", str(tmp_path)]) == 2
    assert "There is no study 'mime'" in capsys.readouterr().err


def test_report_imports_no_tensorflow_and_brings_plotly(tmp_path):
    _study(tmp_path)
    code = (
        "import sys; from tuner import report; "
        f"status = report.main(['--results-dir', {str(tmp_path)!r}]); "
        "print(status, sorted({'tensorflow', 'keras', 'keras_tuner', 'sklearn'} & set(sys.modules)))"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    assert out.splitlines()[-1] == "0 []"
    text = (tmp_path / "mine" / "report.html").read_text(encoding="utf-8")
    assert get_plotlyjs() in text
    assert _Page(text).open == []


def _drawn(records=RECORDS, space=SPACE, **changes):
    config = SearchConfig(space="small", max_epochs=9, batch_size=64, **changes)
    situation = Situation(name="mine", config=config, space=space, records=records, is_through=True)
    return {chart.name: json.loads(chart.figure.to_json()) for chart in charts(situation)}


def test_charts_draw_every_trial_that_has_a_score():
    drawn = _drawn()
    assert list(drawn) == ["progress", "curves", "importance", "values", "costs"]
    after = {trace["name"]: trace for trace in drawn["progress"]["data"]}
    assert list(after) == ["after 3 epochs", "after 9 epochs", "best so far"]
    assert [len(after[name]["text"]) for name in after] == [12, 2, 14]
    others, *named = drawn["curves"]["data"]
    assert [trace["name"] for trace in (others, named[-1])] == ["others", "run 11"]
    assert (len(named), others["x"].count(None)) == (10, 2)  # three runs more, with a gap between


def _leaders(records):
    """Returns the line of the best so far, and the trials that it shows, one after the other."""
    best = _drawn(records)["progress"]["data"][-1]
    return best, [text.partition(",")[0] for text in best["text"]]


def test_best_so_far_is_where_trials_end():
    best, leaders = _leaders(RECORDS)
    assert leaders == ["<b>trial 0"] * 12 + ["<b>trial 13"] * 2
    assert [best["x"][place] for place in (0, 11, 12, 13)] == [9, 42, 48, 51]


def test_best_so_far_is_that_of_the_most_epochs():
    records = [_record(0, score=0.99), _record(1, score=0.9, epochs=(0, 9)), _record(2, score=0.98)]
    assert _leaders(records)[1] == ["<b>trial 0", "<b>trial 1", "<b>trial 1"]


def test_curve_of_a_continued_run_has_all_its_epochs():
    curves = {trace["name"]: trace for trace in _drawn()["curves"]["data"]}
    assert curves["run 11"]["x"] == [*range(1, 10)]
    assert "epoch 4: 0.9200" in curves["run 11"]["text"][3]


def test_values_are_compared_after_the_same_epochs():
    values = _drawn()["values"]
    titles = [note["text"] for note in values["layout"]["annotations"]]
    assert titles == ["width", "learning_rate", "optimizer"]
    assert all("after 3 epochs" in text for trace in values["data"] for text in trace["text"])
    width, rate, _ = values["data"]
    assert (len(width["x"]), set(width["x"])) == (13, {"8", "16", "24"})
    assert values["layout"]["xaxis"]["categoryarray"] == ["8", "16", "24"]
    assert values["layout"]["xaxis2"]["type"] == "log"
    assert rate["marker"]["size"][-1] > rate["marker"]["size"][0]  # the best run, over the others
    assert rate["x"][-1] == 0.11


@pytest.mark.parametrize(("distinct", "kind"), [(10, "category"), (11, "log")])
def test_whole_numbers_stand_side_by_side_unless_they_are_many(distinct, kind):
    records = [_record(number, width=1 + number % distinct) for number in range(12)]
    assert _drawn(records=records)["values"]["layout"]["xaxis"]["type"] == kind


def test_front_joins_what_no_other_run_beats():
    *_, front = _drawn()["costs"]["data"]
    assert front["name"] == "front"
    assert sorted(front["x"]) == [1000, 14000]


def test_names_and_values_are_shown_as_text():
    progress = json.dumps(_drawn()["progress"]["data"])
    assert "&lt;/script&gt;&lt;b&gt;sgd" in progress


def test_study_without_a_score_has_no_chart():
    assert _drawn(records=[_record(0, status=DIVERGED)]) == {}


def test_single_run_has_its_curve_and_nothing_to_compare():
    assert list(_drawn(records=[_record(0)])) == ["progress", "curves"]


def test_losses_are_drawn_too():
    records = [_record(number, score=0.9) for number in range(2)]
    for record in records:
        record.curve["val_loss"] = [0.3, 0.2, 0.1 + record.trial]
    drawn = _drawn(records=records, objective="val_loss")
    assert drawn["curves"]["data"][1]["y"] == [0.3, 0.2, 0.1]
    low, high = drawn["curves"]["layout"]["yaxis"]["range"]
    assert low < high


MANY = 2000


def _many(number=MANY, epochs=9, names=3):
    """Returns runs of a search of `number` whole runs; the best one is the last but ten."""
    values = {f"a_name_that_is_longer_than_its_chart_{place:02}": 0.5 for place in range(names - 3)}
    return [
        _record(
            trial,
            epochs=(0, epochs),
            score=0.99 if trial == number - 10 else 0.5 + trial % 97 / 250,
            learning_rate=0.001 + trial / number / 2,
            **{name: 0.1 + (7 * trial + place) % 89 / 100 for place, name in enumerate(values)},
        )
        for trial in range(number)
    ]


def test_page_of_a_long_study_is_one_that_a_browser_opens(tmp_path):
    page = _written_of(_many(), tmp_path)
    text = _Page(page).text
    assert len(page) < 6e6
    assert page.count("<tr>") < 600
    assert "These are the first 500 of 2,000 runs; python -m tuner.leaderboard mine prints all." in text
    assert "Drawn are the best 750 of 2,000 trials, and 750 of the others." in text


def test_many_messages_are_not_all_shown(tmp_path):
    records = [_record(trial, status=DIVERGED, message="the loss is not finite") for trial in range(300)]
    page = _written_of(records, tmp_path)
    assert page.count("<td>the loss is not finite") == 200
    assert "These are the first 200 of 300." in _Page(page).text


def _written_of(records, tmp_path):
    """Returns the page of records that need no storage, which would take a minute to write."""
    config = SearchConfig(space="small", max_epochs=9, batch_size=64)
    situation = Situation(name="mine", config=config, space=SPACE, records=records, is_through=True)
    rows = rows_of(records, config.objectives)
    return render(situation, advise(situation), rows=rows, versions={}, written="now")


def test_charts_of_a_long_study_have_the_best_and_say_what_they_leave_out():
    drawn = _drawn(_many())
    after, best = drawn["progress"]["data"]
    assert len(after["x"]) == 1500
    assert any(text.startswith(f"<b>trial {MANY - 10},") for text in after["text"])
    assert max(best["x"]) == 9 * MANY  # the line of the best goes on to the end
    assert len(best["x"]) < 200
    others, *named = drawn["curves"]["data"]
    assert (len(named), others["x"].count(None) + 1) == (10, 333)
    for trace in drawn["values"]["data"]:
        assert len(trace["x"]) == 1500
        assert trace["marker"]["size"][-1] == 11
    assert len(drawn["costs"]["data"][0]["x"]) == 1500


def test_axes_of_a_long_study_hold_every_value_tried():
    records = [*_many(), _record(MANY, epochs=(0, 9), score=0.6, optimizer="</script><b>sgd")]
    assert "</script><b>sgd" in _drawn(records)["values"]["layout"]["xaxis2"]["categoryarray"]


def test_many_hyperparameters_have_charts_that_are_not_each_as_large_as_all():
    records = _many(300, epochs=3, names=60)
    ends = {"min_value": 0.1, "max_value": 1.0, "step": None, "sampling": "linear", "conditions": []}
    more = [{"class_name": "Float", "config": {"name": name, **ends}} for name in records[0].hyperparameters]
    drawn = _drawn(records, [*SPACE, *more[len(SPACE) :]])
    assert len(json.dumps(drawn["values"])) < 8e6
    assert len(drawn["values"]["data"][-1]["x"]) == 103
    last = f"a_name_that_is_longer_than_its_chart_{56:02}"
    assert all(last in text and "and " in text for text in drawn["values"]["data"][-1]["text"])
    assert max(len(note["text"]) for note in drawn["values"]["layout"]["annotations"]) <= 30
