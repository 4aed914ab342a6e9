"""The whole state of a training as one file: weights, optimizer, epoch and seed.

The order of the images follows from the seed and the epoch, and the learning rate from the optimizer's iteration
counter, so nothing else is needed to go on exactly.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["TrainingState", "load_state", "save_state"]


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """A training after its last epoch.

    Args:
        epoch: Epochs trained.
        seed: Seed of the training.
        weights: All variables of the model, in its order.
        optimizer: All variables of the optimizer, in its order.
        curve: Metric values by name since the trial began, one an epoch; for a trial that was interrupted.
    """

    epoch: int
    seed: int
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    curve: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)


def save_state(path: Path, state: TrainingState) -> None:
    """Writes a state under a temporary name and renames it, so that a reader sees the old file or the new one."""
    arrays: dict[str, Any] = {f"weights/{index:04d}": array for index, array in enumerate(state.weights)}
    arrays |= {f"optimizer/{index:04d}": array for index, array in enumerate(state.optimizer)}
    facts = json.dumps({"epoch": state.epoch, "seed": state.seed, "curve": dict(state.curve)})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **(arrays | {"facts": np.array(facts)}))
    temporary.replace(path)


def load_state(path: Path) -> TrainingState | None:
    """Returns the state in a file, or None when the file is missing, cut short or damaged.

    A lost checkpoint is no error: the same training from its beginning ends in the same state.
    """
    try:
        # Opened here, because NumPy leaves a file open that is no archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            weights = [file[name] for name in sorted(file.files) if name.startswith("weights/")]
            optimizer = [file[name] for name in sorted(file.files) if name.startswith("optimizer/")]
    except (OSError, EOFError, KeyError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
    return TrainingState(facts["epoch"], facts["seed"], weights, optimizer, facts["curve"])
