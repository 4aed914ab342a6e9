"""The whole state of a training as one file: weights, optimizer, epoch and seed.

The order of the images follows from the seed and the epoch, and the learning rate from the optimizer's iteration
counter, so nothing else is needed to go on exactly.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tuner.errors import TunerError
from tuner.files import replacing
from tuner.records import COMPLETED, RUNNING, Record

__all__ = ["CheckpointFolder", "CheckpointWriter", "TrainingState", "load_state", "save_state"]

SECONDS_BETWEEN_LOOKS = 0.02


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """A training after its last epoch.

    Args:
        epoch: Epochs trained.
        seed: Seed of the training.
        weights: Weights `(params,)`, statistics of batch normalisation `(n,)` and averaged weights `(params,)`, as
            `tuner/program.py` packs them.
        optimizer: What it keeps of the weights, `(slots, params)`, and the number of steps, `()`.
        curve: Metric values by name since the trial began, one an epoch; for a trial that was interrupted.
        parts: Parts in which batches are trained (`tuner/splitting.py`), >= 1.
        seconds: Wall time of the trial so far; for a trial that was interrupted.
        ended: Whether the trial has ended with it, before its last epoch; a trial that continues it trains on.
    """

    epoch: int
    seed: int
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    curve: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
    parts: int = 1
    seconds: float = 0.0
    ended: bool = False


def save_state(path: Path, state: TrainingState) -> None:
    """Writes a state under a temporary name and renames it, so that a reader sees the old file or the new one."""
    arrays: dict[str, Any] = {f"weights/{index:04d}": array for index, array in enumerate(state.weights)}
    arrays |= {f"optimizer/{index:04d}": array for index, array in enumerate(state.optimizer)}
    names = ("epoch", "seed", "parts", "seconds", "ended")
    told = {"curve": dict(state.curve), "arrays": sorted(arrays), **{name: getattr(state, name) for name in names}}
    facts = json.dumps(told)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **(arrays | {"facts": np.array(facts)}))


class CheckpointWriter:
    """Writes states in a thread of its own, one after the other, so that training does not wait for the disk."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[tuple[str, Future[None]]] = []

    def save(
        self,
        path: str,
        state: Callable[[], TrainingState],
        curve: Mapping[str, list[float]],
        *,
        seconds: float = 0.0,
        ended: bool = False,
        instead_of: str | None = None,
    ) -> None:
        """Writes a state soon.

        Args:
            path: Where to.
            state: Returns the state; called in the writing thread, so it must not change meanwhile.
            curve: Curve of the trial.
            seconds: Wall time of the trial.
            ended: Whether the trial ends with it, before its last epoch.
            instead_of: The state that this one continues: nothing needs it any more once this one is there.

        Raises:
            TunerError: If an earlier state could not be written.
        """
        self._check(done_only=True)
        curve = {name: list(values) for name, values in curve.items()}

        def write() -> None:
            save_state(Path(path), dataclasses.replace(state(), curve=curve, seconds=seconds, ended=ended))
            if instead_of is not None:
                Path(instead_of).unlink(missing_ok=True)

        self._pending.append((path, self._thread.submit(write)))

    def flush(self) -> None:
        """Waits until everything is written.

        Raises:
            TunerError: If a state could not be written.
        """
        self._check(done_only=False)

    def _check(self, *, done_only: bool) -> None:
        waiting, self._pending = self._pending, []
        for path, write in waiting:
            if done_only and not write.done():
                self._pending.append((path, write))
                continue
            try:
                write.result()
            except OSError as error:
                raise TunerError(
                    f"The checkpoint {path} cannot be written: {error.strerror or error}. Make room or write elsewhere "
                    "with --results-dir; the study goes on where it stands."
                ) from error


class CheckpointFolder:
    """Knows which states may still be needed, and removes the others.

    A state is needed as long as a promotion may continue from it. Where the files take more than allowed, together with
    those that running trials are going to write, those of the worst trials go first: a promotion without its file is
    trained again from the beginning, with the same result.

    Args:
        folder: Where the files are.
        limit: Bytes that they may take, or None; what running trials write and continue stays, whatever it is.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self._folder = folder
        self._limit = limit
        self._largest = 0  # of the files that were seen; one to come is taken to be as large
        self._late: dict[str, int] = {}  # worker -> its last trial, where that has ended before its file was there
        for torn in folder.glob("*.tmp"):  # of workers that were killed
            torn.unlink(missing_ok=True)

    def path(self, trial: int) -> Path:
        """Returns the file of a trial."""
        return self._folder / f"trial{trial:05d}.npz"

    def epoch(self, record: Record) -> int:
        """Returns the epoch from which a trial goes on: its last where it only has to be told how it ended."""
        state = load_state(self.path(record.trial))
        if state is None or state.seed != record.seed or not record.initial_epoch < state.epoch <= record.epochs:
            return record.initial_epoch
        return record.epochs if state.ended else state.epoch

    def after(self, record: Record, held: Sequence[Record], *, max_epochs: int, direction: str) -> None:
        """Removes what nothing needs any more.

        Args:
            record: The trial that has just ended.
            held: All trials of the study.
            max_epochs: Full budget of one configuration; nothing continues beyond it.
            direction: `max` or `min`: the better end of the objective.
        """
        if record.parent is not None:
            self.path(record.parent).unlink(missing_ok=True)
        if record.rung >= max_epochs or record.status != COMPLETED:
            self.path(record.trial).unlink(missing_ok=True)
        if self._limit is not None:
            self._late.pop(record.worker, None)  # a worker writes in order
            if record.status == COMPLETED and record.rung < max_epochs:
                self._late[record.worker] = record.trial
            self._shrink(held, max_epochs=max_epochs, direction=direction)

    def _shrink(self, held: Sequence[Record], *, max_epochs: int, direction: str) -> None:
        sizes = self._sizes()
        self._largest = max([self._largest, *sizes.values()])
        running = [r for r in held if r.status == RUNNING]
        to_come = {r.trial for r in running if r.epochs < max_epochs} | set(self._late.values())
        used = sum(sizes.values()) + self._largest * sum(self.path(trial) not in sizes for trial in to_come)
        busy = {trial for r in running for trial in (r.trial, r.parent)}
        sign = 1 if direction == "max" else -1
        candidates = [r for r in held if r.score is not None and r.trial not in busy and self.path(r.trial) in sizes]
        for record in sorted(candidates, key=lambda r: sign * (r.score or 0.0)):
            if used <= (self._limit or 0):
                return
            used -= sizes[self.path(record.trial)]
            self.path(record.trial).unlink(missing_ok=True)

    def _sizes(self) -> dict[Path, int]:
        """Returns the bytes of each file; a worker may be removing one at this moment."""
        sizes = {}
        for path in self._folder.glob("*.npz"):
            with contextlib.suppress(FileNotFoundError):
                sizes[path] = path.stat().st_size
        return sizes


def load_state(path: str | Path, *, patience: float = 0.0) -> TrainingState | None:
    """Returns the state in a file, or None when the file is missing, cut short or damaged.

    A lost checkpoint is no error: the same training from its beginning ends in the same state.

    Args:
        path: The file.
        patience: Seconds to wait for a file that is not there yet.
    """
    path, until = Path(path), time.monotonic() + patience
    while not path.exists() and time.monotonic() < until:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    try:
        # Opened here, because NumPy leaves a file open that is no archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if file.zip.testzip() is not None:  # of an array that is cut short NumPy would not read to the checksum
                return None
            facts = json.loads(str(file["facts"]))
            weights = [file[name] for name in sorted(file.files) if name.startswith("weights/")]
            optimizer = [file[name] for name in sorted(file.files) if name.startswith("optimizer/")]
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None  # what is damaged may look encrypted, or packed in an unknown way, too: both are a RuntimeError
    if set(file.files) != {*facts.get("arrays", file.files), "facts"}:
        return None
    later = {name: facts[name] for name in ("parts", "seconds", "ended") if name in facts}  # older files lack them
    return TrainingState(facts["epoch"], facts["seed"], weights, optimizer, facts["curve"], **later)
