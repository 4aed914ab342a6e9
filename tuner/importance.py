"""Which hyperparameters matter, as far as the runs of a study tell.

Scores are compared after the same number of epochs, whatever a run was trained for: the longest that enough runs have.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection

from tuner.distributions import distributions
from tuner.imports import hidden
from tuner.records import Run, varying

with hidden("sklearn"):  # 1.6 s, for a kind of importance that is not used here
    from optuna.importance import get_param_importances

__all__ = ["comparable", "importances"]

ENOUGH = 10  # runs: of fewer, the best tenth that the importances look at is one run at most


def comparable(runs: Sequence[Run], objective: str) -> tuple[int, list[tuple[Run, float]]]:
    """Returns the epochs after which scores are compared, and the runs that have one there, each with it.

    They are the most epochs that enough runs have, else what most runs have.

    Args:
        runs: Runs of one study, at least one trial of which has a score.
        objective: Name of the score.
    """
    curves = [(run, dict(run.curve(objective))) for run in runs]
    ends = sorted({record.epochs for run in runs for record in run.trials}, reverse=True)
    scored = {epochs: [(run, curve[epochs]) for run, curve in curves if epochs in curve] for epochs in ends}
    enough = [epochs for epochs in ends if len(scored[epochs]) >= ENOUGH]
    chosen = enough[0] if enough else max(ends, key=lambda epochs: len(scored[epochs]))
    return chosen, scored[chosen]


def importances(
    scored: Sequence[tuple[Run, float]], space: Sequence[Mapping[str, Any]], *, direction: str
) -> dict[str, float]:
    """Returns the importance of each hyperparameter that varies, the largest first; together they are 1.

    Args:
        scored: Runs of one study, each with its score, as `comparable` gives them.
        space: Its declared hyperparameters, as `keras_tuner.HyperParameters.get_config()["space"]` gives them.
        direction: `max` or `min`: the better end of the scores.

    Returns:
        The importances by name; nothing where too few runs have a score, or all have the same.

    Reference: Watanabe et al., 2023, PED-ANOVA, https://arxiv.org/abs/2304.10255 (Optuna's default).
    """
    names = varying([run.last.hyperparameters for run, _ in scored])
    if len(scored) < ENOUGH or len({score for _, score in scored}) == 1 or not names:
        return {}
    better = StudyDirection.MAXIMIZE if direction == "max" else StudyDirection.MINIMIZE
    study = optuna.create_study(direction=better)
    for run, score in scored:
        known = distributions(space, run.last.hyperparameters)
        params = {name: value for name, value in run.last.hyperparameters.items() if name in names}
        shown = {name: known[name] for name in params}
        study.add_trial(optuna.create_trial(value=score, params=params, distributions=shown))
    with warnings.catch_warnings():
        # What one run has alone, as a third stage may be, tells nothing; a report says of all that it is a hint.
        warnings.filterwarnings("ignore", message="Some regimes for parameter", category=UserWarning)
        return get_param_importances(study, params=names)
