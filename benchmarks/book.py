"""The rows of `benchmarks/engine.py` on disk."""

from __future__ import annotations

import csv
import datetime
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from programs import Setting
from record_curves import append, command_line

from tuner.errors import UsageError
from tuner.hardware import processor_kind
from tuner.versions import library_versions

__all__ = ["Book"]

KEYS = ("program", "seed", "ended", "configuration")  # what tells the rows of one measure and setting apart


class Book:
    """The rows of one measure on one data set, in a CSV that only grows.

    Args:
        folder: Where it is.
        name: Name of the measure.
        setting: What was asked for; each row has it.
    """

    def __init__(self, folder: Path, name: str, setting: Setting) -> None:
        self.path = folder / f"engine-{name}-{Path(setting.dataset.rpartition(':')[2]).name}.csv"
        self._setting = {key: "" if value is None else str(value) for key, value in vars(setting).items()}

    def add(self, row: Mapping[str, Any], *, load: float) -> None:
        """Appends a row, with what it was measured on; `load` is the machine's before the measurement."""
        facts = {
            "load_before": f"{load:.2f}",
            "cores": len(os.sched_getaffinity(0)),
            "processor": processor_kind(),
            "date": datetime.datetime.now().isoformat(timespec="seconds"),
            "command": command_line(),
            "versions": "; ".join(f"{name} {version}" for name, version in library_versions().items()),
        }
        full = {**row, **self._setting, **facts}
        self.check(list(full))
        append([full], self.path)
        print({"measure": self.path.stem, **row}, file=sys.stderr, flush=True)

    def check(self, columns: list[str]) -> None:
        """Refuses a CSV with other columns."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                header = next(csv.reader(file))
            if header != columns:
                raise UsageError(f"{self.path} has other columns, {header}, not {columns}; move it away.")

    def rows(self, seeds: list[int]) -> list[dict[str, str]]:
        """Returns the newest row of each program and seed with this setting, on the processor of the last of all.

        Rows of before 2026-12-01 have none, so they are taken for those of one.
        """
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            found = [row for row in csv.DictReader(file) if self._setting.items() <= row.items()]
        found = [row for row in found if int(row["seed"]) in seeds]
        alike = [row for row in found if row["processor"] == found[-1]["processor"]]
        newest = {tuple(row.get(key) for key in KEYS): row for row in alike}
        return list(newest.values())
