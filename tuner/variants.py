"""What an ablation compares: a configuration with squeeze-and-excitation, and the same with one thing about it changed.

Pure functions of hyperparameter values. The tables are those of Hu et al., 2018, https://arxiv.org/abs/1709.01507.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tuner.errors import StudyError, UsageError
from tuner.gates import WITHOUT, gate_ratios
from tuner.models import AnyConfig, BackboneConfig, ModelConfig
from tuner.models.plan import residual_blocks
from tuner.records import Record, Run
from tuner.selector import best_run

__all__ = ["Variant", "best_gated_run", "tables_for", "variants_of"]

RATIOS = (2, 4, 8, 16, 32)  # table 10

AS_FOUND = "as found"

Values = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of a table.

    Args:
        table: Name of the table, such as `ratio`.
        name: What is special about it, such as `8`.
        hyperparameters: Values by name.
        network: Short name of the network that they make; rows with equal ones share their trainings.
    """

    table: str
    name: str
    hyperparameters: Values
    network: str


def best_gated_run(records: Iterable[Record], direction: str) -> Run:
    """Returns the best run whose network has squeeze-and-excitation.

    Args:
        records: Trials of one study.
        direction: `max` or `min`: the better end of the objective.

    Raises:
        StudyError: If there is none, or none with a score.
    """
    held = list(records)
    gated = [record for record in held if any(gate_ratios(record.hyperparameters))]
    if held and not gated:
        raise StudyError(
            "No run of the study has squeeze-and-excitation, so there is nothing to compare; name a study whose space "
            "has se_ratio above 0."
        )
    return best_run(gated, direction)


def tables_for(config: AnyConfig, asked: Iterable[str] = ()) -> list[str]:
    """Returns the tables that a network can have: those that are asked for, or all.

    Raises:
        UsageError: If one that is asked for means nothing to the network.
    """
    allowed = BACKBONE_TABLES if isinstance(config, BackboneConfig) else tuple(TABLES)
    chosen = list(dict.fromkeys(asked)) or list(allowed)
    for table in chosen:
        if table not in allowed:
            raise UsageError(
                f"--tables has {table!r}, which means nothing to the backbone {config.name}; allowed are "
                f"{' and '.join(allowed)}."
            )
    return chosen


def variants_of(values: Values, tables: Iterable[str], *, build: Callable[[Values], AnyConfig]) -> list[Variant]:
    """Returns the rows of some tables; each table has the configuration itself too.

    Args:
        values: Hyperparameters of a configuration with squeeze-and-excitation.
        tables: Names of `TABLES`.
        build: Says which network hyperparameters make (`SEResNetHyperModel.model_config`).
    """
    found = _name_of(build(values))
    variants: list[Variant] = []
    for table in tables:
        rows = [
            Variant(table, name, changed, _name_of(build(changed)))
            for name, changed in TABLES[table](values, build(values))
        ]
        if found not in {row.network for row in rows}:
            rows.insert(0, Variant(table, AS_FOUND, values, found))
        variants += rows
    return variants


def _without(values: Values, config: AnyConfig) -> list[tuple[str, Values]]:
    bare = {name: value for name, value in values.items() if not name.startswith("se_ratio_")}
    return [("with", values), (WITHOUT, bare | {"se_ratio": 0})]


def _ratios(values: Values, config: AnyConfig) -> list[tuple[str, Values]]:
    """Ratios at which the narrowest gate has a unit or more, in a backbone all; stages without a gate stay so."""
    if isinstance(config, BackboneConfig):
        return [(str(ratio), {**values, "se_ratio": ratio}) for ratio in RATIOS]
    narrowest = min(block.gate.channels for block in residual_blocks(config) if block.gate)
    gated = _own_stages(values, config)
    return [(str(ratio), gated | {"se_ratio": ratio}) for ratio in RATIOS if ratio <= narrowest]


def _stages(values: Values, config: AnyConfig) -> list[tuple[str, Values]]:
    """Each stage that has gates, alone."""
    assert not isinstance(config, BackboneConfig), "a backbone has no stages"
    stages = [stage for stage, ratio in enumerate(config.gate_ratios, start=1) if ratio]
    return [(f"stage {stage} alone", {**values, "se_stages": str(stage)}) for stage in stages if len(stages) > 1]


def _own_stages(values: Values, config: ModelConfig) -> dict[str, Any]:
    """Returns the values with the stages that have gates told by number, and without the ratio of any."""
    stages = ",".join(str(stage) for stage, ratio in enumerate(config.gate_ratios, start=1) if ratio)
    return {name: value for name, value in values.items() if not name.startswith("se_ratio")} | {"se_stages": stages}


def _choices(name: str, *choices: str) -> Callable[[Values, AnyConfig], list[tuple[str, Values]]]:
    return lambda values, config: [(choice, {**values, name: choice}) for choice in choices]


TABLES: dict[str, Callable[[Values, AnyConfig], list[tuple[str, Values]]]] = {
    "se": _without,
    "ratio": _ratios,  # table 10
    "squeeze": _choices("squeeze", "max", "avg"),  # table 11
    "excitation": _choices("excitation", "relu", "tanh", "sigmoid"),  # table 12
    "stage": _stages,  # table 13
    "position": _choices("se_position", "standard", "pre", "post", "identity", "inner"),  # tables 14 and 15
}

BACKBONE_TABLES = ("se", "ratio")  # its gates are `add_se`'s, which has one kind of them


def _name_of(config: AnyConfig) -> str:
    fields = json.dumps(dataclasses.asdict(config), sort_keys=True)
    return hashlib.sha256(fields.encode()).hexdigest()[:12]
