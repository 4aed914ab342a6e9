"""From a request to the first trial: what is searched, by which oracle, for how long, with which workers.

What cannot be searched shows here, before anything is trained. Keras Tuner comes with it, so that nothing that may end
without a search imports this module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras_tuner

from tuner.budget import Budget
from tuner.callbacks import check_callbacks
from tuner.command import told_after
from tuner.config import SearchConfig
from tuner.constraints import Constraints
from tuner.crew import Crew
from tuner.declaration import check_objective, declare
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Measurement
from tuner.oracles import StudyOracle, make_oracle
from tuner.oracles.drawing import Predicate
from tuner.plan import Plan
from tuner.quantities import counted
from tuner.rehearsal import rehearsed
from tuner.request import Request, described, limits_of, staffing_of
from tuner.sizes import Sizes, largest_state
from tuner.staff import settle
from tuner.warm_start import seen_in

__all__ = ["Prepared", "prepared_search"]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What stands between a request and the first trial.

    Args:
        oracle: Chooses.
        budget: When to stop.
        hypermodel: Says what hyperparameters mean on the data.
        plan: What the search is going to do.
        declared: The hyperparameters, as of `Study.create`.
        seen: What is known from another study, as of `Study.create`.
        reference: The worst value of each of several objectives, as of `Study.create`.
    """

    oracle: StudyOracle
    budget: Budget
    hypermodel: SEResNetHyperModel
    plan: Plan
    declared: list[dict[str, Any]]
    seen: list[dict[str, Any]]
    reference: dict[str, float]


def prepared_search(request: Request, crew: Crew, *, began: float, tell: Callable[..., None]) -> Prepared:
    """Returns oracle and plan, and tells what is going to be done as soon as it is known.

    Args:
        request: What was asked for.
        crew: The workers; those that bring too little are let go.
        began: When the search did, on the clock `time.monotonic`.
        tell: Shows lines to a person.

    Raises:
        TunerError: If the space, the data, or a limit does not fit to the rest, or to the study that goes on.
    """
    config, space, study = request.config, request.space, request.study
    hp = declare(space)
    declared = hp.get_config()["space"]
    check_objective(config.objective, hp)
    check_callbacks(space)
    with told_after("Waiting   until the data has been read"):
        facts = crew.facts
    if study:
        study.check_space(declared, config.space)
        study.check_data(facts, config.dataset)
    seen = study.seen if study else seen_in(request.source, declared) if request.source else []
    hypermodel = rehearsed(request.session, facts, space=space, hp=hp)
    largest = largest_state(hypermodel, hp)  # what cannot be built shows before anything is measured
    constraints = Constraints(config.cost_limits, Sizes(hypermodel))
    oracle = _oracle(request, hp, seen=seen, is_allowed=constraints.predicate)
    asked = described(config, space, facts, request.folder, enqueued=oracle.num_enqueued, is_new=study is None)
    tell(*asked, *constraints.settle(hp, oracle.enqueue))
    if config.warm_start:
        tell(f"Knows     {counted(len(seen), 'trial')} of the study {config.warm_start}")
    measurement, workers = settle(staffing_of(request.arguments, config), crew, hp.values)
    budget = Budget(limits_of(request.arguments, config), began=began, measured=measurement)
    if not (study and study.proposals()) and budget.is_short(epochs=config.max_epochs):  # else it goes on as it began
        oracle.hurry()
    plan = _planned(oracle, config, budget, measurement, workers=crew.size, state_bytes=largest)
    tell(f"Workers   {workers}", *plan.lines())
    reference = study.reference if study else constraints.reference(hp, config.objectives, classes=facts.classes)
    return Prepared(oracle, budget, hypermodel, plan, declared, seen, reference)


def _oracle(
    request: Request,
    hp: keras_tuner.HyperParameters,
    *,
    seen: Sequence[dict[str, Any]],
    is_allowed: Predicate | None,
) -> StudyOracle:
    """Returns the oracle of a new study, or that of one that goes on, which makes the same trials again."""
    study = request.study
    return make_oracle(
        request.config,
        hp,
        seen=seen,
        begun_epochs=study.begun_epochs() if study else 0,
        begins_whole=study.begins_whole() if study else None,
        is_allowed=is_allowed,
    )


def _planned(
    oracle: StudyOracle,
    config: SearchConfig,
    budget: Budget,
    measurement: Measurement,
    *,
    workers: int,
    state_bytes: int,
) -> Plan:
    """Returns the trials of a search, what they take, and what of them stays."""
    return Plan(
        oracle.schedule(),
        measurement,
        workers,
        state_bytes,
        is_fixed=oracle.is_fixed,
        keeps_checkpoints=config.total_epochs is not None,
        disk_limit=budget.limits.disk_bytes,
        time_limit=budget.limits.seconds,
    )
