"""How long an oracle takes to propose a trial after 1,000 finished ones.

The finished trials are random, put into the oracle as if it had made them: two thirds have 1 epoch, two ninths 3, and
so on to the full budget, as successive halving leaves them.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from algorithms import drive, keras_tuner_oracle, our_oracle, suggest
from problem import Problem
from spaces import sample
from trainer import Spent, Trainer

__all__ = ["timing"]

FINISHED_TRIALS, TIMED_TRIALS, FACTOR = 1000, 5, 3


def timing(names: Sequence[str], problem: Problem) -> str:
    """Returns a Markdown table of the seconds of a proposal, the median of five; peers are left out."""
    lines = [
        f"Seconds of a proposal after {FINISHED_TRIALS:,} trials on {problem.name}, median of {TIMED_TRIALS}\n",
        "| algorithm | seconds | largest |\n| --- | ---: | ---: |",
    ]
    for name in names:
        library, _, label = name.partition(".")
        if library in ("keras_tuner", "tuner"):
            seconds = _of_oracle(library, label, problem)
        elif label.startswith("TPE") and importlib.util.find_spec("optuna"):
            seconds = _of_optuna(problem)
        else:
            continue
        lines.append(f"| {name} | {statistics.median(seconds):.4f} | {max(seconds):.4f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def _of_oracle(library: str, label: str, problem: Problem) -> list[float]:
    """Returns the seconds of each call of `create_trial`."""
    trainer = Trainer(problem, seed=0, budget_epochs=10 * FINISHED_TRIALS * problem.max_epochs)
    oracle = (our_oracle if library == "tuner" else keras_tuner_oracle)(label, trainer, 0)
    _fill(oracle, trainer)
    seconds: list[float] = []
    create = oracle.create_trial

    def timed(tuner_id: str) -> Any:
        if len(seconds) == TIMED_TRIALS:
            raise Spent
        started = time.perf_counter()
        trial = create(tuner_id)
        seconds.append(time.perf_counter() - started)
        return trial

    oracle.create_trial = timed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            drive(oracle, trainer)
        except Spent:
            return seconds
    return seconds


def _fill(oracle: Any, trainer: Trainer) -> None:
    """Puts finished trials into an oracle of Keras Tuner."""
    from keras_tuner.engine.trial import Trial

    rng = np.random.default_rng(0)
    problem = trainer.problem
    rungs = round(math.log(problem.max_epochs, FACTOR))
    for number in range(FINISHED_TRIALS):
        values = sample(problem.space, rng)
        epochs = min(FACTOR ** min(rungs, int(rng.geometric(1 - 1 / FACTOR)) - 1), problem.max_epochs)
        hp = oracle.hyperparameters.copy()
        hp.values = {**values, "tuner/epochs": epochs, "tuner/initial_epoch": 0}
        trial = Trial(hyperparameters=hp, trial_id=f"filled{number:04d}", status="COMPLETED")
        trial.metrics.register(problem.objective, direction="max")
        score = float(np.nan_to_num(problem.curve(values, 0)[epochs - 1]))
        trial.metrics.update(problem.objective, score, step=epochs)
        trial.score, trial.best_step = score, epochs
        oracle.trials[trial.trial_id] = trial
        oracle.start_order.append(trial.trial_id)
        oracle.end_order.append(trial.trial_id)


def _of_optuna(problem: Problem) -> list[float]:
    """Returns the seconds in which Optuna's TPE suggests all values of a trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    seconds: list[float] = []
    for number in range(FINISHED_TRIALS + TIMED_TRIALS):
        if number == FINISHED_TRIALS:
            study.sampler = optuna.samplers.TPESampler(seed=1)
        elif number == 0:
            study.sampler = optuna.samplers.RandomSampler(seed=0)
        started = time.perf_counter()
        trial = study.ask()
        values = suggest(trial, problem.space)
        seconds.append(time.perf_counter() - started)
        study.tell(trial, problem.final(values))
    return seconds[FINISHED_TRIALS:]
