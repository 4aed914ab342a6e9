"""Runs the measured programs, each as processes of its own, and reads what they leave behind; it judges nothing.

The package under test is the installed one (`-P`), not the one in the working folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import psutil

from tuner.config import SearchConfig
from tuner.errors import TunerError
from tuner.finding import find_study
from tuner.messages import Session
from tuner.records import COMPLETED, Record
from tuner.space import load_space

__all__ = [
    "Searched",
    "Setting",
    "alternated",
    "network",
    "prepare",
    "sample_memory",
    "search",
    "stock",
    "stock_target",
    "target",
]

BENCHMARKS = Path(__file__).parent
STUDY = "engine"
POLL_SECONDS = 0.1
SAMPLE_SECONDS = 0.25  # reading the memory of a process stops it for milliseconds
REACHED, CAPPED, ENDED = "reached", "capped", "ended without"

_ENDED_TRIALS = "SELECT COUNT(*) FROM trials WHERE state IN ('COMPLETE', 'FAIL')"
_BEST_VALUE = "SELECT MAX(intermediate_value) FROM trial_intermediate_values"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What all programs of a measurement are asked to do.

    Args:
        space: Name or path of a search space.
        dataset: As of `tuner.search`.
        images: Images of the training split that are used, or None for all.
        image_size: Height and width in pixels, or None for those of the data set.
        max_epochs: Full budget of one configuration.
        mixed_precision: `auto`, `on` or `off`, for `tuner.search`.
    """

    space: str
    dataset: str
    images: int | None
    image_size: int | None
    max_epochs: int
    mixed_precision: str

    def config(self, seed: int) -> SearchConfig:
        """Returns the same as a configuration of a search, in float32."""
        return SearchConfig(
            space=self.space,
            dataset=self.dataset,
            algorithm="hyperband",
            max_epochs=self.max_epochs,
            batch_size=load_space(self.space).batch_size,
            seed=seed,
            image_size=(self.image_size,) * 2 if self.image_size else None,
            images=self.images,
        )

    def flags(self, seed: int) -> list[str]:
        """Returns the same as flags of `tuner.search`."""
        flags = ["--space", self.space, "--dataset", self.dataset, "--max-epochs", str(self.max_epochs)]
        flags += ["--seed", str(seed), "--mixed-precision", self.mixed_precision]
        flags += ["--images", str(self.images)] if self.images else []
        return flags + (["--image-size", str(self.image_size)] if self.image_size else [])


@dataclasses.dataclass(frozen=True)
class Searched:
    """A search of `tuner.search` that is over.

    Args:
        process_seconds: Wall time from the start of the process to its exit.
        search_seconds: Wall time from the beginning of the first trial to the end of the last.
        records: The trials.
        config: What was searched.
    """

    process_seconds: float
    search_seconds: float
    records: Sequence[Record]
    config: SearchConfig

    def row(self) -> dict[str, Any]:
        """Returns its figures, with the names of `stock`."""
        full = [r.score for r in self.records if r.status == COMPLETED and r.epochs == self.config.max_epochs]
        return {
            "process_seconds": self.process_seconds,
            "search_seconds": self.search_seconds,
            "trials": len(self.records),
            "epochs": sum(len(record.curve.get("epoch", [])) for record in self.records),
            "score": max((score for score in full if score is not None), default=None),
            "precision": "mixed" if self.config.mixed_precision else "float32",
        }


def prepare(setting: Setting) -> None:
    """Prepares the data set, once, so that no measurement does."""
    code = f"""from tuner import command
from tuner.data import DataSpec, load
command.leave(command.run(lambda: load(DataSpec({setting.dataset!r})) and None, debug=False))"""
    _run(["-P", "-c", code])


def search(setting: Setting, seed: int, *flags: str) -> Searched:
    """Runs `python -m tuner.search` to its end."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = _run(_search_arguments(setting, seed, folder, flags))
        with contextlib.closing(find_study(Path(folder), STUDY)) as study:
            records, config = study.records(), study.config
        trials = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{folder}/{STUDY}/study.db").trials
    began, ended = min(trial.datetime_start for trial in trials), max(trial.datetime_complete for trial in trials)
    return Searched(seconds, (ended - began).total_seconds(), records, config)


def stock(setting: Setting, seed: int) -> dict[str, Any]:
    """Runs `benchmarks/baseline.py`, the plain Keras Tuner script, to its end and returns its figures."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = _run(_stock_arguments(setting, seed, folder))
        return {"process_seconds": seconds, **json.loads((Path(folder) / "measured.json").read_text())}


def target(setting: Setting, seed: int, *flags: str, value: float, cap: float) -> dict[str, Any]:
    """Runs `python -m tuner.search` until an epoch of any trial reaches the target.

    Args:
        setting: What to search.
        seed: Seed of the search.
        flags: Further flags of it.
        value: The target.
        cap: Seconds after which it is given up.

    Returns:
        Seconds from the start of the process, and the outcome: `REACHED`, `CAPPED`, or `ENDED` before.
    """
    with tempfile.TemporaryDirectory() as folder:

        def reached() -> bool:
            return (_query(Path(folder), _BEST_VALUE) or 0.0) >= value

        return _watch(_search_arguments(setting, seed, folder, flags), reached, cap=cap)


def stock_target(setting: Setting, seed: int, *, value: float, cap: float) -> dict[str, Any]:
    """Does the same with `benchmarks/baseline.py`."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [*_stock_arguments(setting, seed, folder), "--target", str(value)]
        return _watch(arguments, (Path(folder) / "reached").exists, cap=cap)


def sample_memory(setting: Setting, seed: int, *flags: str) -> Iterator[tuple[int, int, int, int]]:
    """Runs `python -m tuner.search`, and yields what its processes hold from time to time.

    Yields:
        Trials that have ended, number of processes, and the sums of their resident and of their proportional memory in
        bytes; the second counts a page that n processes share as 1/n in each.
    """
    with tempfile.TemporaryDirectory() as folder, _started(_search_arguments(setting, seed, folder, flags)) as process:
        while process.poll() is None:
            ended, family = _query(Path(folder), _ENDED_TRIALS), _family(process.pid)
            memory = [_memory(member.pid) for member in family]
            if ended is not None:
                yield int(ended), len(family), sum(rss for rss, _ in memory), sum(pss for _, pss in memory)
            time.sleep(SAMPLE_SECONDS)
        _check(process)


def network(program: str, measure: str, session: Session, **request: Any) -> dict[str, Any]:
    """Trains one network in `benchmarks/start.py` and returns what that prints.

    Args:
        program: One of `start.PROGRAMS`.
        measure: `speed` or `score`.
        session: Data, space, epochs and batch.
        **request: Further arguments of the measure.
    """
    text = json.dumps({"session": dataclasses.asdict(session), **request})
    command = [sys.executable, str(BENCHMARKS / "start.py"), program, measure, text]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=_environment())
    _check(done)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def alternated(programs: Mapping[str, Any], place: int) -> list[tuple[str, Any]]:
    """Returns the programs in their order, or turned round in every other place."""
    return list(programs.items())[:: 1 if place % 2 == 0 else -1]


def _search_arguments(setting: Setting, seed: int, folder: str, flags: Sequence[str]) -> list[str]:
    kept = ["--study", STUDY, "--results-dir", folder]
    return ["-P", "-m", "tuner.search", *setting.flags(seed), *flags, *kept]


def _stock_arguments(setting: Setting, seed: int, folder: str) -> list[str]:
    return [str(BENCHMARKS / "baseline.py"), json.dumps(setting.config(seed).to_dict()), folder]


def _run(arguments: Sequence[str]) -> float:
    """Returns the wall time of Python with arguments."""
    began = time.perf_counter()
    with _started(arguments) as process:
        process.wait()
    _check(process)
    return time.perf_counter() - began


def _watch(arguments: Sequence[str], reached: Callable[[], bool], *, cap: float) -> dict[str, Any]:
    began, outcome = time.perf_counter(), REACHED
    with _started(arguments) as process:
        while not reached():
            if process.poll() is not None:
                _check(process)
                outcome = REACHED if reached() else ENDED
                break
            if time.perf_counter() - began > cap:
                outcome = CAPPED
                break
            time.sleep(POLL_SECONDS)
        return {"seconds": time.perf_counter() - began, "outcome": outcome}


@contextlib.contextmanager
def _started(arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Starts Python, and on leaving kills it and all its children if they still run."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=_environment())
    try:
        yield process
    finally:
        family = _family(process.pid) if process.poll() is None else []
        for member in family:  # the driver first: it would start a worker that dies anew
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family)
        process.wait()


def _environment() -> dict[str, str]:
    """Returns the environment with TensorFlow's log off, as the commands have it."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _check(process: subprocess.Popen[bytes] | subprocess.CompletedProcess[str]) -> None:
    if process.returncode:
        raise TunerError(f"A program that is measured ended with status {process.returncode}; what it said is above.")


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(pid: int) -> tuple[int, int]:
    """Returns the resident and the proportional memory of a process in bytes; (0, 0) where it has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    kilobytes = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE))
    return int(kilobytes["Rss"]) * 1024, int(kilobytes["Pss"]) * 1024


def _query(folder: Path, text: str) -> float | None:
    """Asks the study of a running search, without SQLAlchemy: many times a second, beside what is measured."""
    try:
        uri = f"file:{folder / STUDY / 'study.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(text).fetchone()[0]
    except sqlite3.OperationalError:  # there is no study yet, or no table
        return None
