"""Search algorithms, ours and others', driven over a `Trainer` until its budget is spent.

Each takes trainer and seed, and returns where it has nothing more to try. What cannot be imported here is left out.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import warnings
from collections.abc import Callable
from typing import Any

import peers
from spaces import Parameter, Values
from trainer import Run, Trainer

__all__ = ["Algorithm", "algorithms", "drive", "keras_tuner_oracle", "our_oracle", "suggest"]

Algorithm = Callable[[Trainer, int], None]

FACTOR = 3
MANY = 1_000_000  # trials or rounds: the budget of epochs ends every search


def algorithms() -> dict[str, Algorithm]:
    """Returns the algorithms that can run here, by name."""
    found: dict[str, Algorithm] = {}
    if _present("keras_tuner"):
        for name in ("Hyperband", "BayesianOptimization", "RandomSearch"):
            found[f"keras_tuner.{name}"] = functools.partial(_search, functools.partial(keras_tuner_oracle, name))
        found |= _our_algorithms()
    if _present("optuna"):
        for name in ("Hyperband", "SuccessiveHalving", "Nop"):
            found[f"optuna.TPE+{name}"] = functools.partial(_optuna, name)
    return found | {name: search for name, (module, search) in peers.PEERS.items() if _present(module)}


def keras_tuner_oracle(name: str, trainer: Trainer, seed: int) -> Any:
    """Returns an oracle of Keras Tuner with its default settings and the seed that ours give themselves."""
    import keras_tuner

    from tuner.seeds import spread_seed

    options: dict[str, Any] = {"objective": _objective(trainer), "seed": spread_seed(seed)}
    options |= {"hyperparameters": trainer.problem.hyperparameters(), "max_consecutive_failed_trials": sys.maxsize}
    if name == "Hyperband":
        options |= {"max_epochs": trainer.problem.max_epochs, "factor": FACTOR, "hyperband_iterations": MANY}
    else:
        options["max_trials"] = MANY
    return _silent(getattr(keras_tuner.oracles, f"{name}Oracle")(**options))


def our_oracle(name: str, trainer: Trainer, seed: int, **options: Any) -> Any:
    """Returns an oracle of this program, with a budget of epochs; `options` are arguments of its own."""
    from tuner.oracles import ORACLES

    return ORACLES[name](
        objective=_objective(trainer),
        hyperparameters=trainer.problem.hyperparameters(),
        max_epochs=trainer.problem.max_epochs,
        seed=seed,
        max_total_epochs=trainer.budget_epochs,
        **options,
    )


def drive(oracle: Any, trainer: Trainer) -> None:
    """Runs an oracle with one trial in flight, as the executor does: each epoch is told, the last one is the score."""
    runs: dict[str, Run] = {}
    while (trial := oracle.create_trial("worker")).status == "RUNNING":
        values = trial.hyperparameters.values
        run = runs.get(values.get("tuner/trial_id", "")) or trainer.begin(values)
        runs[trial.trial_id] = run
        trainer.train(
            run, int(values.get("tuner/epochs", trainer.problem.max_epochs)), functools.partial(_told, oracle, trial)
        )
        trial = oracle.get_trial(trial.trial_id)
        trial.metrics = type(trial.metrics)()
        oracle.update_trial(trial.trial_id, {trainer.problem.objective: run.score}, run.epochs)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def _our_algorithms() -> dict[str, Algorithm]:
    try:
        from tuner.oracles import ORACLES
    except ImportError as error:
        print(f"Left out, as this program's oracles cannot be imported: {error}", file=sys.stderr)
        return {}
    return {f"tuner.{name}": functools.partial(_search, functools.partial(our_oracle, name)) for name in ORACLES}


def _told(oracle: Any, trial: Any, epoch: int, score: float) -> bool:
    updated = oracle.update_trial(trial.trial_id, {oracle.objective.name: score}, epoch)
    return bool(updated.status == "STOPPED")


def _search(make: Callable[[Trainer, int], Any], trainer: Trainer, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threading.currentThread, and scikit-learn's of length scales at a bound
        drive(make(trainer, seed), trainer)


def _objective(trainer: Trainer) -> Any:
    import keras_tuner

    return keras_tuner.Objective(trainer.problem.objective, "max")


def _silent(oracle: Any) -> Any:
    """Takes from an oracle of Keras Tuner its files and prints: without a tuner, no directory is named."""
    oracle.verbose = 0
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None
    return oracle


def _optuna(pruner: str, trainer: Trainer, seed: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    resources = {"min_resource": 1, "reduction_factor": FACTOR}
    pruners = {
        "Hyperband": lambda: optuna.pruners.HyperbandPruner(max_resource=trainer.problem.max_epochs, **resources),
        "SuccessiveHalving": lambda: optuna.pruners.SuccessiveHalvingPruner(**resources),
        "Nop": optuna.pruners.NopPruner,
    }
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruners[pruner]())
    while True:
        trial = study.ask()
        run = trainer.begin(suggest(trial, trainer.problem.space))
        score = trainer.train(run, trainer.problem.max_epochs, functools.partial(_reported, trial))
        pruned = not run.has_diverged and run.epochs < trainer.problem.max_epochs
        study.tell(trial, *((None, optuna.trial.TrialState.PRUNED) if pruned else (score,)))


def _reported(trial: Any, epoch: int, score: float) -> bool:
    trial.report(score, epoch)
    return bool(trial.should_prune())


def suggest(trial: Any, space: list[Parameter]) -> Values:
    """Returns the active values that an Optuna trial suggests."""
    values: Values = {}
    for parameter in space:
        if not parameter.is_active(values):
            continue
        if parameter.kind == "choice":
            value = trial.suggest_categorical(parameter.name, parameter.choices)
        elif parameter.kind == "int":
            step = 1 if parameter.log else int(parameter.step or 1)
            value = trial.suggest_int(parameter.name, parameter.low, parameter.high, log=parameter.log, step=step)
        else:
            low, high = parameter.low, parameter.high
            value = trial.suggest_float(parameter.name, low, high, log=parameter.log, step=parameter.step)
        values[parameter.name] = value
    return values


def _present(module: str) -> bool:
    parent = module.rpartition(".")[0]
    return (not parent or _present(parent)) and importlib.util.find_spec(module) is not None
