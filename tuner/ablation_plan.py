"""Which trainings an ablation needs: rows of tables, and each of their networks once a seed. Nothing here trains."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tuner.ablation import Training
from tuner.declaration import RECIPE_NAMES
from tuner.models import AnyConfig
from tuner.records import Run
from tuner.seeds import derived_seed
from tuner.variants import Variant, tables_for, variants_of

__all__ = ["AblationPlan", "planned"]


@dataclasses.dataclass(frozen=True)
class AblationPlan:
    """What is compared.

    Args:
        found: The configuration that the search found.
        variants: Rows of tables, of which several may have the same network.
        seeds: Seeds of the trainings of each network.
        epochs: Epochs of each training.
    """

    found: Variant
    variants: list[Variant]
    seeds: list[int]
    epochs: int

    def wanted(self) -> list[tuple[Variant, int]]:
        """Returns what is to be trained: the configuration that was found first, then the rest in their order."""
        networks: dict[str, Variant] = {}
        for variant in [self.found, *self.variants]:
            networks.setdefault(variant.network, variant)
        return [(variant, seed) for variant in networks.values() for seed in self.seeds]

    def covers(self, training: Training) -> bool:
        """Whether a training belongs to the comparison."""
        networks = {self.found.network, *(variant.network for variant in self.variants)}
        same = training.network in networks and training.seed in self.seeds and training.epochs == self.epochs
        return same and _recipe(json.loads(training.hyperparameters)) == _recipe(self.found.hyperparameters)

    def with_earlier(
        self, trainings: Sequence[Training], *, build: Callable[[Mapping[str, Any]], AnyConfig]
    ) -> AblationPlan:
        """Returns it with the other tables of the same run for which all trainings were made before.

        Args:
            trainings: All that were made.
            build: Says which network hyperparameters make (`SEResNetHyperModel.model_config`).
        """
        values = self.found.hyperparameters
        chosen, earlier = {variant.table for variant in self.variants}, []
        for table in tables_for(build(values)):
            rows = variants_of(values, [table], build=build)
            wider = dataclasses.replace(self, variants=rows)
            held = {(training.network, training.seed) for training in trainings if wider.covers(training)}
            wanted = {(variant.network, seed) for variant, seed in wider.wanted()}
            if table not in chosen and len(rows) > 1 and wanted <= held:
                earlier += rows
        return dataclasses.replace(self, variants=[*self.variants, *earlier])


def planned(
    run: Run,
    tables: Iterable[str],
    *,
    seeds: int,
    search_seed: int,
    build: Callable[[Mapping[str, Any]], AnyConfig],
) -> AblationPlan:
    """Returns what a run is compared with.

    Args:
        run: A run whose network has squeeze-and-excitation.
        tables: Names of the tables that are asked for; none means all that its network can have.
        seeds: How often each network is trained, >= 1.
        search_seed: Seed of the search that found the run, from which those of the trainings follow.
        build: As of `AblationPlan.with_earlier`.

    Raises:
        UsageError: If a table means nothing to the network.
    """
    values = run.last.hyperparameters
    return AblationPlan(
        found=variants_of(values, ["se"], build=build)[0],
        variants=variants_of(values, tables_for(build(values), tables), build=build),
        # Fresh ones: with its own seed, the best run of many was lucky.
        seeds=[derived_seed(search_seed, "ablation", place) for place in range(seeds)],
        epochs=run.epochs,
    )


def _recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that decide how a network is trained; a study may find another run with the same network."""
    return {name: value for name, value in values.items() if name in RECIPE_NAMES}
