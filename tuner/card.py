"""The model card: where an exported model comes from and how good it is, as plain data, JSON and Markdown.

It predicts and measures nothing itself; the test figures come from `tuner/figures.py`. Standard library only.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuner import markdown
from tuner.figures import Figures, test_figures

__all__ = ["Card", "DataSummary", "Figures", "ValidationScore", "test_figures", "to_json", "to_markdown"]

_LARGEST_MATRIX = 20  # classes; a wider table cannot be read
_NUM_CONFUSIONS = 10  # pairs listed in its place
_NUMBERS = re.compile(r'\[\n[^\[\]{}"]*\]')  # a list without texts in JSON; a text has no line break of its own

_LOADING = """\
## How to load

The model takes raw images, float32, values 0..255, `(batch, {height}, {width}, {channels})`; scaling is part of it. It
returns probabilities, `(batch, {num_classes})`, in the order of `labels.json`. Photos are to be upright: whoever reads
files turns them as their EXIF orientation says (`PIL.ImageOps.exif_transpose`), as `tuner.predict` does. From the
directory of this card:

```python
import keras

model = keras.models.load_model("model.keras")
probabilities = model.predict(images)
```

```python
import tensorflow as tf

saved_model = tf.saved_model.load("saved_model")  # keep this reference while calling it
probabilities = saved_model.serve(tf.constant(images, tf.float32)).numpy()
```

```bash
python -m tuner.predict . photo.png
```
"""


@dataclasses.dataclass(frozen=True)
class DataSummary:
    """The data set a model was made from.

    Attributes:
        name: Name or path of the data set.
        image_shape: (height, width, channels) in pixels.
        num_images: Split -> number of images.
        labels: Class names in the order of the probabilities.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_images: Mapping[str, int]
    labels: Sequence[str]


@dataclasses.dataclass(frozen=True)
class ValidationScore:
    """What the selected trial reached on the validation split.

    Attributes:
        objective: Name of the judged figure, such as `val_accuracy`.
        score: Its value at the last epoch.
        best_epoch: The epoch of its best value, counted from 1.
        best_score: Its value there.
    """

    objective: str
    score: float
    best_epoch: int
    best_score: float


@dataclasses.dataclass(frozen=True)
class Card:
    """Everything a reader has to know about an exported model.

    Attributes:
        study: Name of the study.
        command: The command line that made the export.
        data: The data set.
        algorithm: Name of the search algorithm.
        hyperparameters: Name -> value of the winner.
        epochs: Epochs of the final training.
        search_seed: Seed of the search.
        training_seed: Seed of the final training.
        validation: The selected trial's score.
        test: Test figures; None when the data set has no test split.
        parameters: Number of weights.
        multiply_accumulates: Multiply-accumulate operations for one image.
        versions: Package -> version.
        training_seconds: Duration of the final training.
        created: Date or date and time in ISO 8601.
        export_differences: File -> largest |difference| of a probability from the trained model's.
        settings: Name -> value of what the search was asked for besides, such as its space and batch size.
        run: Number of the winner in the leaderboard; None in cards that were written without it.
        rule: What chose it, one of `tuner.selector.RULES`, or `run` where a person named it; empty likewise.
    """

    study: str
    command: str
    data: DataSummary
    algorithm: str
    hyperparameters: Mapping[str, Any]
    epochs: int
    search_seed: int
    training_seed: int
    validation: ValidationScore
    test: Figures | None
    parameters: int
    multiply_accumulates: int
    versions: Mapping[str, str]
    training_seconds: float
    created: str
    export_differences: Mapping[str, float] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: int | None = None
    rule: str = ""

    def __post_init__(self) -> None:
        datetime.datetime.fromisoformat(self.created)
        if self.test is not None and len(self.test.confusion) != len(self.data.labels):
            raise ValueError(f"{len(self.data.labels)} labels but test figures of {len(self.test.confusion)} classes")


def to_json(card: Card) -> str:
    """Returns the card with full precision; a number that is not finite becomes null, as JSON has none.

    A list of numbers has one line: the confusions of 1,000 classes would have a million.
    """
    text = json.dumps(_plain(dataclasses.asdict(card)), indent=2, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text) + "\n"


def to_markdown(card: Card) -> str:
    """Returns the card for people: headings, tables, and how to load the model."""
    height, width, channels = card.data.image_shape
    loading = _LOADING.format(height=height, width=width, channels=channels, num_classes=len(card.data.labels))
    sections = [
        f"# Model card: {markdown.plain(card.study)}\n\nMade on {card.created} by\n\n```bash\n{card.command}\n```\n",
        _results(card),
        *([] if card.test is None else [_classes(card.test, list(map(markdown.plain, card.data.labels)))]),
        _data(card.data),
        _training(card),
        "## Hyperparameters\n\n" + _plain_table(["Name", "Value"], card.hyperparameters.items()),
        loading,
        _differences(card.export_differences),
        "## Versions\n\n" + _plain_table(["Package", "Version"], card.versions.items()),
    ]
    return "\n".join(section for section in sections if section)


def _results(card: Card) -> str:
    validation = card.validation
    rows: list[tuple[str, object]] = []
    if card.test is not None:
        low, high = card.test.accuracy_interval
        rows = [
            ("Test accuracy", f"{card.test.accuracy:.4f}"),
            ("95 % interval (Wilson)", f"{low:.4f} to {high:.4f}"),
            ("Balanced test accuracy (mean recall)", f"{card.test.balanced_accuracy:.4f}"),
            ("95 % interval", "{:.4f} to {:.4f}".format(*card.test.balanced_interval)),
            ("Test loss", f"{card.test.loss:.4g}"),
            ("Test images", card.test.num_images),
        ]
    rows += [
        (f"Validation: `{validation.objective}` at the last epoch", validation.score),
        (f"Validation: best, at epoch {validation.best_epoch}", validation.best_score),
        ("Parameters", card.parameters),
        ("Multiply-accumulates an image", card.multiply_accumulates),
    ]
    note = "" if card.test is not None else "\nThe data set has no test split, so there are no test figures.\n"
    scores = "\nThe validation scores are the selected trial's; choosing the best of many makes them optimistic.\n"
    return "## Results\n\n" + _table(["Figure", "Value"], rows) + note + scores


def _classes(figures: Figures, labels: Sequence[str]) -> str:
    rows = [
        (label, "none" if recall is None else f"{recall:.4f}", sum(row))
        for label, recall, row in zip(labels, figures.recall, figures.confusion, strict=True)
    ]
    recall_table = "## Recall by class\n\n" + _table(["Class", "Recall", "Images"], rows)
    return recall_table + "\n## Confusions\n\n" + _confusions(figures.confusion, labels)


def _confusions(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    if len(labels) <= _LARGEST_MATRIX:
        table = _table(
            ["True \\ predicted", *labels], ((label, *row) for label, row in zip(labels, confusion, strict=True))
        )
        return "Test images; a row for each true class, a column for each predicted one.\n\n" + table
    pairs = [
        (count, true, predicted)
        for true, row in zip(labels, confusion, strict=True)
        for predicted, count in zip(labels, row, strict=True)
        if predicted != true and count
    ]
    worst = [(true, predicted, count) for count, true, predicted in sorted(pairs, key=lambda pair: -pair[0])]
    return "The most frequent ones; the whole matrix is in `card.json`.\n\n" + _table(
        ["True", "Predicted", "Images"], worst[:_NUM_CONFUSIONS]
    )


def _data(data: DataSummary) -> str:
    shape = " × ".join(map(str, data.image_shape))
    name, *labels = (markdown.one_line(markdown.plain(text)) for text in (data.name, *data.labels))
    table = _table(["Split", "Images"], data.num_images.items())
    return f"## Data\n\n{name}: images {shape}, {len(labels)} classes: {', '.join(labels)}.\n\n{table}"


def _training(card: Card) -> str:
    chosen = [] if card.run is None else [("Run", f"{card.run}, chosen by {_chooser(card.rule)}")]
    rows = [
        *chosen,
        ("Search algorithm", card.algorithm),
        ("Search seed", str(card.search_seed)),
        ("Training seed", str(card.training_seed)),
        ("Epochs", card.epochs),
        ("Training time", _duration(card.training_seconds)),
        *((name.replace("_", " ").capitalize(), value) for name, value in card.settings.items()),
    ]
    return "## Training\n\n" + _plain_table(["Setting", "Value"], rows)


def _chooser(rule: str) -> str:
    return "its number" if rule == "run" else f"the rule {rule}"


def _differences(differences: Mapping[str, float]) -> str:
    if not differences:
        return ""
    rows = [(f"`{name}`", f"{difference:.1e}" if difference else "0") for name, difference in differences.items()]
    table = _table(["File", "Largest difference of a probability"], rows)
    return "## Check of the export\n\nRe-opened in a fresh process and compared with the trained model.\n\n" + table


def _table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    return markdown.table(heads, [[_cell(value) for value in row] for row in rows], rule="---")


def _plain_table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Returns a table whose cells are what a person has named."""
    return _table(heads, [[markdown.plain(_cell(value)) for value in row] for row in rows])


def _cell(value: object) -> str:
    """Returns a value for a person to read: four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _plain(value: Any) -> Any:
    """Returns `value` as JSON can write it: NumPy's numbers as Python's, infinite ones as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a NumPy number
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
