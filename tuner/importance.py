"""Which hyperparameters matter, as far as the runs of a study tell.

Scores are compared after the same number of epochs, whatever a run was trained for: the longest that enough runs have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection

from tuner.command import hidden
from tuner.distributions import distributions
from tuner.records import Run

with hidden("sklearn"):  # 1.6 s, for a kind of importance that is not used here
    from optuna.importance import get_param_importances

__all__ = ["comparable_epochs", "importances", "varying"]

ENOUGH = 10  # runs: of fewer, the best tenth that the importances look at is one run at most


def comparable_epochs(runs: Sequence[Run], objective: str) -> int:
    """Returns the epochs after which scores are compared: the most that enough runs have, else what most runs have.

    Args:
        runs: Runs of one study, at least one trial of which has a score.
        objective: Name of the score.
    """
    ends = sorted({record.epochs for run in runs for record in run.trials}, reverse=True)
    scored = {epochs: sum(run.score_after(epochs, objective) is not None for run in runs) for epochs in ends}
    enough = [epochs for epochs in ends if scored[epochs] >= ENOUGH]
    return enough[0] if enough else max(ends, key=lambda epochs: scored[epochs])


def varying(runs: Sequence[Run]) -> list[str]:
    """Returns the names of the hyperparameters of which the runs have more than one value."""
    names = dict.fromkeys(name for run in runs for name in run.last.hyperparameters)
    return [name for name in names if len({str(run.last.hyperparameters.get(name)) for run in runs}) > 1]


def importances(
    runs: Sequence[Run], space: Sequence[Mapping[str, Any]], *, objective: str, direction: str
) -> dict[str, float]:
    """Returns the importance of each hyperparameter that varies, the largest first; together they are 1.

    Args:
        runs: Runs of one study.
        space: Its declared hyperparameters, as `keras_tuner.HyperParameters.get_config()["space"]` gives them.
        objective: Name of the score.
        direction: `max` or `min`: its better end.

    Returns:
        The importances by name; nothing where too few runs have a score, or all have the same.

    Reference: Watanabe et al., 2023, PED-ANOVA, https://arxiv.org/abs/2304.10255 (Optuna's default).
    """
    epochs = comparable_epochs(runs, objective)
    scored = [(run, score) for run in runs if (score := run.score_after(epochs, objective)) is not None]
    names = varying([run for run, _ in scored])
    if len(scored) < ENOUGH or len({score for _, score in scored}) == 1 or not names:
        return {}
    better = StudyDirection.MAXIMIZE if direction == "max" else StudyDirection.MINIMIZE
    study = optuna.create_study(direction=better)
    for run, score in scored:
        known = distributions(space, run.last.hyperparameters)
        params = {name: value for name, value in run.last.hyperparameters.items() if name in names}
        shown = {name: known[name] for name in params}
        study.add_trial(optuna.create_trial(value=score, params=params, distributions=shown))
    return get_param_importances(study, params=names)
