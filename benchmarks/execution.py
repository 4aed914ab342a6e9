"""How long a training step takes with several steps in one call of the program (`--steps-per-execution`).

    python benchmarks/execution.py --dataset digits --steps 1 2 4 8 16 --repeats 31

Trains the default network of a space for 16 steps with each number of steps a call, one after the other and again, so
that whatever else the machine does meets all of them. A ratio is that of a pair of neighbours in time. It also checks
that all end with the same weights bit for bit, and takes the time to trace both programs, n times anew.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

from tuner.imports import import_tensorflow

import_tensorflow()  # as the program does: with oneDNN

from tuner import command  # noqa: E402
from tuner.config import STEPS_BETWEEN_CHECKS  # noqa: E402
from tuner.data import DataSpec  # noqa: E402
from tuner.declaration import active_values, declare  # noqa: E402
from tuner.errors import UsageError  # noqa: E402
from tuner.messages import Session  # noqa: E402
from tuner.program import Program  # noqa: E402
from tuner.training import Network  # noqa: E402
from tuner.worker import Worker  # noqa: E402

STARTS = 5


def networks_of(worker: Worker, steps: Sequence[int]) -> dict[int, Network]:
    """Returns the space's default network for each number of steps a call, all on one program."""
    values = active_values(declare(worker.space))
    architecture = worker.networks.network(worker.hypermodel, values).architecture
    program = Program(architecture.structure)
    networks = {number: Network(architecture, program, steps_per_execution=number) for number in steps}
    for network in networks.values():
        network.reset(worker.hypermodel.recipe(values), seed=0)
    return networks


def main() -> int:
    """Measures and prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--image-size", type=command.positive)
    parser.add_argument("--space", default="small")
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--steps", type=command.positive, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=command.positive, default=31)
    command.add_debug_flag(parser)
    arguments = parser.parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.repeats < 2:
        raise UsageError(f"--repeats is {arguments.repeats}; quartiles need two at least.")
    if max(arguments.steps) > STEPS_BETWEEN_CHECKS:
        raise UsageError(f"--steps has {max(arguments.steps)}; {STEPS_BETWEEN_CHECKS} are the most.")
    size = (arguments.image_size, arguments.image_size) if arguments.image_size else None
    data = DataSpec(arguments.dataset, size)
    session = Session(
        data=data, space=arguments.space, max_epochs=9, batch_size=64, mixed_precision=arguments.mixed, cores=1
    )
    worker = Worker(session)
    networks = networks_of(worker, arguments.steps)
    seconds: dict[int, list[float]] = {number: [] for number in networks}
    for _ in range(arguments.repeats + 1):
        for number, network in networks.items():
            began = time.perf_counter()
            network.train_epoch(worker.train_images, max_steps=STEPS_BETWEEN_CHECKS)
            seconds[number].append((time.perf_counter() - began) / STEPS_BETWEEN_CHECKS)
    states = {number: [array.tobytes() for array in network.state().weights] for number, network in networks.items()}
    first = arguments.steps[0]
    print(f"| steps a call | milliseconds a step | ratio to {first} | quartiles | the same weights |")
    print("|---:|---:|---:|---|---|")
    for number, all_taken in seconds.items():
        taken, ratios = all_taken[1:], [a / b for a, b in zip(all_taken[1:], seconds[first][1:], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {number} | {1000 * statistics.median(taken):.2f} | {statistics.median(ratios):.3f} "
            f"| {low:.3f} to {high:.3f} | {'yes' if states[number] == states[first] else 'NO'} |"
        )
    starts: dict[int, list[float]] = {number: [] for number in (first, arguments.steps[-1])}
    for _ in range(STARTS):
        for number, taken in starts.items():
            network = networks_of(worker, [number])[number]
            began = time.perf_counter()
            network.train_epoch(worker.train_images, max_steps=1)
            taken.append(time.perf_counter() - began)
    print(f"\n| steps a call | seconds to the end of the first step (n = {STARTS}) |\n|---:|---:|")
    for number, taken in starts.items():
        print(f"| {number} | {statistics.median(taken):.2f} ({min(taken):.2f} to {max(taken):.2f}) |")


if __name__ == "__main__":
    command.leave(main())
