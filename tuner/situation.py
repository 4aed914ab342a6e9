"""What there is to know of a study when it is reported, and what follows from that alone. It advises nothing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tuner.ablation import Comparison
from tuner.command import shell_line
from tuner.config import SearchConfig
from tuner.figures import Figures, judging_images, standard_error
from tuner.records import Record, Run, rank, runs_of

__all__ = ["Export", "Situation"]


@dataclasses.dataclass(frozen=True)
class Export:
    """A model that was exported from a study.

    Args:
        folder: Where it lies.
        hyperparameters: Its configuration.
        test: Its test figures, or None where the data has no test split.
        run: Number of its run; None where its card is of an older program.
        rule: What chose it, as in `tuner.card.Card`; empty likewise.
    """

    folder: str
    hyperparameters: Mapping[str, Any]
    test: Figures | None
    run: int | None = None
    rule: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Situation:
    """What there is to know of a study.

    Args:
        name: Its name.
        config: What its search was asked to do.
        space: The declared hyperparameters, as `keras_tuner.HyperParameters.get_config()["space"]` gives them.
        records: Its trials.
        is_through: Whether the search has made all trials that it was asked for.
        validation_images: How many images a score is of; None where that is not known.
        validation_sizes: How many of each class; none where that is not known.
        export: The model that was made of it, or None.
        exported_front: Numbers of the runs that were exported as its front.
        comparisons: What an ablation of it found, rows of tables.
        place: Flags with which other commands find the study.
    """

    name: str
    config: SearchConfig
    space: Sequence[Mapping[str, Any]]
    records: Sequence[Record]
    is_through: bool
    validation_images: int | None = None
    validation_sizes: Sequence[int] = ()
    export: Export | None = None
    exported_front: Collection[int] = ()
    comparisons: Sequence[Comparison] = ()
    place: Sequence[str] = ()

    @functools.cached_property
    def runs(self) -> list[Run]:
        """All runs, in the order in which they began."""
        return runs_of(self.records)

    @functools.cached_property
    def ranked(self) -> list[Run]:
        """The runs that completed a trial, the best first."""
        return [run for run in rank(self.runs, self.config.direction) if run.has_score]

    @property
    def finalists(self) -> list[Run]:
        """Those of the ranked runs that were asked for as many epochs as the best one: their scores are comparable."""
        return [run for run in self.ranked if run.rung == self.ranked[0].rung]

    @property
    def equals(self) -> list[Run]:
        """Those of the finalists that the validation images cannot tell from the best one, which comes first.

        Their scores are within one standard error, or the same where there is none.
        """
        best = self.finalists[0].score or 0.0
        error = self.standard_error(best) or 0.0
        return [run for run in self.finalists if abs(best - (run.score or 0.0)) <= error]

    @property
    def exported(self) -> Run | None:
        """The run that was exported, by its number and its configuration; of an older card by the latter alone."""
        if self.export is None:
            return None
        values, number = self.export.hyperparameters, self.export.run
        same = (run for run in self.ranked if run.last.hyperparameters == values)
        return next((run for run in same if number in (None, run.number)), None)

    @property
    def is_settled(self) -> bool:
        """Whether what was exported is as good as the best run, or was chosen by more than its score."""
        if self.export is None or self.exported is None:
            return False
        return self.export.rule not in ("", "best") or self.exported in self.equals

    def command(self, module: str, *flags: str) -> str:
        """Returns the line that runs a command of the program on the study."""
        name = ["--study", self.name] if module == "search" else [self.name]
        return shell_line(f"tuner.{module}", *name, *self.place, *flags)

    def standard_error(self, accuracy: float) -> float | None:
        """Returns the standard error of an accuracy on the validation images; None for another objective."""
        if self.config.direction != "max" or not self.validation_images:
            return None
        images = judging_images(self.config.objective, self.validation_images, self.validation_sizes)
        return standard_error(accuracy, images)
