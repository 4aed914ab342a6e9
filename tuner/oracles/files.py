"""Files of Keras Tuner that a kill leaves whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuner import files

__all__ = ["WholeFiles", "replacing"]


class WholeFiles(keras_tuner.Oracle):
    """Mixin, to the left of an oracle of Keras Tuner: what it has written can be read whenever it was killed."""

    def save(self) -> None:
        """Writes Keras Tuner's own file where a tuner has named a directory."""
        if self._has_directory():
            with replacing(self._get_oracle_fname()) as file:
                super(keras_tuner.Oracle, self).save(file)

    def _save_trial(self, trial: Trial) -> None:
        if self._has_directory():
            with replacing(os.path.join(self._get_trial_dir(trial.trial_id), "trial.json")) as file:  # noqa: PTH118
                trial.save(file)

    def reload(self) -> None:
        """Reads Keras Tuner's files, which it finds in any order, and puts the trials into that of their beginning.

        One that is not in the oracle's own file was never handed out: the search was killed between the two. What ran
        when the file was written is handed out again, without what it told before, unless it has ended since.
        """
        super().reload()
        known = {name: self.trials[name] for name in self.start_order if name in self.trials}
        self.trials.clear()
        self.trials.update(known)
        self._retry_queue[:] = [name for name in self._retry_queue if name not in self.end_order]
        for name in self._retry_queue:
            self.trials[name].metrics = type(self.trials[name].metrics)()

    def _has_directory(self) -> bool:
        return getattr(self, "_directory", None) is not None


@contextlib.contextmanager
def replacing(name: str) -> Iterator[str]:
    """Gives the name under which to write what is to be a file of Keras Tuner.

    Keras Tuner empties a file before it writes: killed in between, it cannot read its project again. In a bucket
    (`gs://bucket/file`), which it can write to as well, a file appears whole by itself.
    """
    if "://" in name:
        yield name
        return
    with files.replacing(Path(name)) as temporary:
        yield str(temporary)
