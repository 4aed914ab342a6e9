"""Adapters of search libraries that the program does not use, with their default settings, eta 3 and 1 to R epochs.

Each runs in an environment of its own that has the library, scipy and scikit-learn; nothing here needs Keras Tuner.
A library that has no conditions sees all parameters, and those that are not active change nothing. Numbers with a step
are shown as places of a whole number. A library minimises, so it is told the negative score.
"""

from __future__ import annotations

import datetime
import functools
import logging
import math
import tempfile
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from spaces import Parameter, Values
from trainer import Trainer

__all__ = ["PEERS"]

FACTOR = 3
MANY = 1_000_000  # trials: the budget of epochs ends every search


def _dehb(trainer: Trainer, seed: int, *, continued: bool) -> None:
    """DEHB over the unit cube; what it promotes unchanged is continued, or trained anew as its paper counts.

    Reference: Awad et al., 2021, https://arxiv.org/abs/2105.09821; https://github.com/automl/DEHB.
    """
    import dehb

    space = _free(trainer)
    with tempfile.TemporaryDirectory() as folder:
        optimizer = dehb.DEHB(
            dimensions=len(space),
            min_fidelity=1,
            max_fidelity=trainer.problem.max_epochs,
            eta=FACTOR,
            n_workers=1,
            seed=seed,
            output_path=folder,
            log_level="ERROR",
            save_freq="end",
        )
        while True:
            job = optimizer.ask()
            values = {p.name: p.value(unit) for p, unit in zip(space, job["config"].tolist(), strict=True)}
            score = trainer.evaluate(_completed(trainer, values), round(job["fidelity"]), continued=continued)
            optimizer.tell(job, {"fitness": -score, "cost": float(job["fidelity"])})


def _smac(trainer: Trainer, seed: int) -> None:
    """SMAC's multi-fidelity facade: random forest and Hyperband.

    Reference: Lindauer et al., 2022, https://jmlr.org/papers/v23/21-0888.html; https://github.com/automl/SMAC3.
    """
    import smac
    from smac.runhistory import TrialValue

    with tempfile.TemporaryDirectory() as folder:
        scenario = smac.Scenario(
            _configuration_space(trainer, seed),
            output_directory=folder,
            n_trials=MANY,
            min_budget=1,
            max_budget=trainer.problem.max_epochs,
            seed=seed,
            deterministic=True,
        )
        intensifier = smac.MultiFidelityFacade.get_intensifier(scenario, eta=FACTOR)
        facade = smac.MultiFidelityFacade(
            scenario,
            lambda config, seed, budget: 0.0,
            intensifier=intensifier,
            logging_level=logging.ERROR,
            overwrite=True,
        )
        while True:
            info = facade.ask()
            values = _of_indices(trainer, dict(info.config))
            score = trainer.evaluate(values, round(info.budget))
            facade.tell(info, TrialValue(cost=-score), save=False)


def _neps(trainer: Trainer, seed: int, *, name: str) -> None:
    """Hyperband with priors from NePS; the space's default is the prior, of medium confidence.

    Reference: Mallik et al., 2023, https://arxiv.org/abs/2306.12370; https://github.com/automl/neps.
    """
    import neps
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    np.random.seed(seed)  # the library draws from the global one
    sure = {"prior_confidence": "medium"}
    entries: dict[str, Any] = {"epochs": neps.IntegerFidelity(1, trainer.problem.max_epochs)}
    for p in map(_indexed, _free(trainer)):
        if p.kind == "choice":
            entries[p.name] = neps.Categorical(p.choices, prior=p.choices.index(p.default), **sure)
        else:
            kind = neps.Integer if p.kind == "int" else neps.Float
            entries[p.name] = kind(p.low, p.high, log=p.log, prior=p.default, **sure)
    space = type("Space", (neps.PipelineSpace,), entries)()
    optimizer = neps.AskAndTell(getattr(neps.algorithms, name)(space, eta=FACTOR))
    while True:
        trial = optimizer.ask()
        found = {key.rpartition("::")[2].rpartition("__")[2]: value for key, value in trial.config.items()}
        score = trainer.evaluate(_of_indices(trainer, found), int(found["epochs"]))
        optimizer.tell(trial, -score)


def _syne_tune(trainer: Trainer, seed: int, *, name: str) -> None:
    """Asynchronous halving of Syne Tune that stops: with random, density-estimating or Gaussian-process proposals.

    Version 0.14 renamed the arguments and left MOBSTER out.

    Reference: Salinas et al., 2022, https://proceedings.mlr.press/v188/salinas22a.html.
    """
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer import baselines

    np.random.seed(seed)  # the library draws from the global one
    options: dict[str, Any] = {"metric": "score", "max_t": trainer.problem.max_epochs, "random_seed": seed}
    if name == "MOBSTER":
        options |= {"mode": "max", "resource_attr": "epoch", "search_options": {"debug_log": False}}
    else:
        options |= {"do_minimize": False, "time_attr": "epoch"}
    scheduler = getattr(baselines, name)(_syne_tune_space(trainer), **options)
    for number in range(MANY):
        suggestion = scheduler.suggest(number) if name == "MOBSTER" else scheduler.suggest()
        trial = Trial(number, suggestion.config, datetime.datetime.now())
        scheduler.on_trial_add(trial)
        run = trainer.begin(_of_indices(trainer, trial.config))
        score = trainer.train(run, trainer.problem.max_epochs, functools.partial(_syne_tune_stops, scheduler, trial))
        scheduler.on_trial_complete(trial, {"score": score, "epoch": run.epochs})


def _syne_tune_stops(scheduler: Any, trial: Any, epoch: int, score: float) -> bool:
    return bool(scheduler.on_trial_result(trial, {"score": score, "epoch": epoch}) != "CONTINUE")


def _syne_tune_space(trainer: Trainer) -> dict[str, Any]:
    from syne_tune import config_space

    entries: dict[str, Any] = {}
    for p in map(_indexed, _free(trainer)):
        if p.kind == "choice":
            entries[p.name] = config_space.choice(list(p.choices))
        elif p.kind == "int":
            entries[p.name] = (config_space.lograndint if p.log else config_space.randint)(int(p.low), int(p.high))
        else:
            entries[p.name] = (config_space.loguniform if p.log else config_space.uniform)(p.low, p.high)
    return entries


def _hpbandster(trainer: Trainer, seed: int) -> None:
    """BOHB: its own proposals and brackets, without its name server.

    Reference: Falkner et al., 2018, https://arxiv.org/abs/1807.01774; https://github.com/automl/HpBandSter.
    """
    from hpbandster.optimizers.config_generators.bohb import BOHB
    from hpbandster.optimizers.iterations import SuccessiveHalving

    np.random.seed(seed)  # the library draws from the global one
    logging.getLogger("hpbandster").setLevel(logging.ERROR)
    generator = BOHB(_configuration_space(trainer, seed))
    rungs = round(math.log(trainer.problem.max_epochs, FACTOR)) + 1
    budgets = trainer.problem.max_epochs / FACTOR ** np.arange(rungs - 1, -1, -1)
    for number in range(MANY):
        last = rungs - 1 - number % rungs
        sizes = [max(1, int(rungs // (last + 1) * FACTOR ** (last - place))) for place in range(last + 1)]
        bracket = SuccessiveHalving(
            HPB_iter=number,
            num_configs=sizes,
            budgets=budgets[rungs - 1 - last :],
            config_sampler=generator.get_config,
        )
        while (task := bracket.get_next_run()) is not None:
            name, values, budget = task
            score = trainer.evaluate(_of_indices(trainer, values), round(budget))
            job = types.SimpleNamespace(
                id=name,
                kwargs={"config": values, "budget": budget},
                result={"loss": -score, "info": None},
                timestamps={},
                exception=None,
            )
            bracket.register_result(job)
            generator.new_result(job)


def _configuration_space(trainer: Trainer, seed: int) -> Any:
    """Returns the space as ConfigSpace has it, with its conditions."""
    import ConfigSpace

    made = ConfigSpace.ConfigurationSpace(seed=seed)
    for p in map(_indexed, _free(trainer)):
        if p.kind == "choice":
            entry = ConfigSpace.CategoricalHyperparameter(p.name, list(p.choices), default_value=p.default)
        elif p.kind == "int":
            bounds = {"lower": int(p.low), "upper": int(p.high), "log": p.log, "default_value": int(p.default)}
            entry = ConfigSpace.UniformIntegerHyperparameter(p.name, **bounds)
        else:
            bounds = {"lower": p.low, "upper": p.high, "log": p.log, "default_value": p.default}
            entry = ConfigSpace.UniformFloatHyperparameter(p.name, **bounds)
        add = getattr(made, "add", None) or made.add_hyperparameter  # before ConfigSpace 1.0
        add(entry)
        for parent, allowed in p.conditions:
            condition = ConfigSpace.InCondition(entry, made[parent], list(allowed))
            (getattr(made, "add", None) or made.add_condition)(condition)
    return made


def _free(trainer: Trainer) -> list[Parameter]:
    """Returns the parameters that have more than one value."""
    return [p for p in trainer.problem.space if p.kind != "choice" or len(p.choices) > 1]


def _indexed(parameter: Parameter) -> Parameter:
    """Returns a parameter with places instead of values where its numbers have a step."""
    levels = parameter.levels
    if levels is None:
        return parameter
    conditions = parameter.conditions
    place = levels.index(min(levels, key=lambda value: abs(value - parameter.default)))
    return Parameter(parameter.name, "int", place, low=0, high=len(levels) - 1, conditions=conditions)


def _of_indices(trainer: Trainer, found: Mapping[str, Any]) -> Values:
    """Returns all values from those of a library, in which numbers with a step are places."""
    values: Values = {}
    for p in _free(trainer):
        if p.name in found:
            value = found[p.name]
            if p.levels is not None:
                values[p.name] = p.levels[int(value)]
            elif p.kind == "choice":
                values[p.name] = next(choice for choice in p.choices if choice == value)
            else:
                values[p.name] = int(value) if p.kind == "int" else float(value)
    return _completed(trainer, values)


def _completed(trainer: Trainer, values: Values) -> Values:
    return {p.name: p.default for p in trainer.problem.space} | values


# Name -> the module that it needs, and the search.
PEERS: dict[str, tuple[str, Callable[[Trainer, int], None]]] = {
    "dehb": ("dehb", functools.partial(_dehb, continued=True)),
    "dehb.anew": ("dehb", functools.partial(_dehb, continued=False)),
    "smac.MultiFidelity": ("smac", _smac),
    "neps.priorband": ("neps", functools.partial(_neps, name="priorband")),
    "neps.hyperband": ("neps", functools.partial(_neps, name="hyperband")),
    "syne_tune.ASHA": ("syne_tune.optimizer.schedulers.asha", functools.partial(_syne_tune, name="ASHA")),
    "syne_tune.BOHB": ("syne_tune.optimizer.schedulers.asha", functools.partial(_syne_tune, name="BOHB")),
    "syne_tune.MOBSTER": (
        "syne_tune.optimizer.schedulers.hyperband",  # until 0.13
        functools.partial(_syne_tune, name="MOBSTER"),
    ),
    "hpbandster.BOHB": ("hpbandster", _hpbandster),
}
