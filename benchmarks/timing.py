"""How long an oracle takes to propose a trial after 1,000 finished ones.

An oracle makes all its trials, and the last 51 proposals count; those after 250 trials tell how the time grows. Where
that would take an hour, 1,000 random trials are put into it as if it had made them: two thirds have 1 epoch, two ninths
3, and so on to the full budget, as successive halving leaves them.
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

FINISHED_TRIALS, TIMED_TRIALS, FACTOR = 1000, 51, 3
FEWER_TRIALS = 250
FILLED = ("gp", "cmaes", "BayesianOptimization")  # a proposal takes about a second
FILLED_TIMED = 5


def timing(names: Sequence[str], problem: Problem) -> str:
    """Returns a Markdown table of the milliseconds of a proposal; peers but Optuna's are left out."""
    lines = [
        f"Milliseconds of a proposal after {FEWER_TRIALS:,} and {FINISHED_TRIALS:,} trials on {problem.name}\n",
        f"| algorithm | n | median after {FEWER_TRIALS} | median | largest |\n| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        library, _, label = name.partition(".")
        if library in ("keras_tuner", "tuner"):
            is_filled = label in FILLED
            seconds = _of_oracle(library, label, problem, is_filled=is_filled)
        elif label.startswith("TPE") and importlib.util.find_spec("optuna"):
            seconds = _of_optuna(problem)
        else:
            continue
        first = "" if len(seconds) <= TIMED_TRIALS else f"{_median(seconds[FEWER_TRIALS:][:TIMED_TRIALS])}"
        last = seconds[-TIMED_TRIALS:]
        lines.append(f"| {name} | {len(last)} | {first} | {_median(last)} | {1000 * max(last):.0f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def _median(seconds: Sequence[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f}"


def _of_oracle(library: str, label: str, problem: Problem, *, is_filled: bool) -> list[float]:
    """Returns the seconds of each call of `create_trial`."""
    trainer = Trainer(problem, seed=0, budget_epochs=10 * FINISHED_TRIALS * problem.max_epochs)
    oracle = (our_oracle if library == "tuner" else keras_tuner_oracle)(label, trainer, 0)
    if is_filled:
        _fill(oracle, trainer)
    most = FILLED_TIMED if is_filled else FINISHED_TRIALS + TIMED_TRIALS
    seconds: list[float] = []
    create = oracle.create_trial

    def timed(tuner_id: str) -> Any:
        if len(seconds) == most:
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
    return seconds
