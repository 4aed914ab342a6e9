"""What a person may do next with a study, and why: pure functions of what it holds.

Each rule looks at one thing, such as the ends of the ranges, and says something or nothing. The thresholds are guesses;
what was seen stands in the sentences that they lead to, so that a person can judge.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from tuner.command import shell_line
from tuner.config import BALANCED
from tuner.figures import standard_error
from tuner.gates import gate_ratios
from tuner.quantities import counted, describe_cost
from tuner.ranges import ends_reached, is_default
from tuner.records import DIVERGED, FAILED, OUT_OF_MEMORY, RUNNING, TIMED_OUT, WORKER_DIED, Record, Run
from tuner.selector import front_runs
from tuner.situation import Export, Situation
from tuner.space import AUGMENTATION_NAMES

__all__ = ["Advice", "advise"]

LATE = 0.75  # of the epochs of a search: who was found after them may be beaten soon
OF_THE_BEST, NUM_BEST = 2, 3  # so many of so many best runs have to agree on where in a range it is good
GAP = 0.05  # between the accuracies of training and validation
UNEVEN = 2  # times the validation images of the smallest class: where the largest has more, its share says little

_REMEDIES = {
    DIVERGED: "a space whose learning rates end lower",
    OUT_OF_MEMORY: "--max-params or a smaller --batch-size",
    TIMED_OUT: "a longer --trial-time-limit, or --max-macs",
    WORKER_DIED: "more memory for each worker, which fewer --workers have",
    FAILED: "mending what the message names",
}

# How a rule of `tuner.select` came to a run that need not be the best.
_CHOSEN = {
    "one-standard-error": ", the cheapest of those that were as good as the best when they were trained again",
    "knee": ", where the front of score and cost bends most",
    "pareto": ", the best of the front, whose others lie beside it",
    "run": ", which --run named",
}


@dataclasses.dataclass(frozen=True)
class Advice:
    """One thing to do.

    Args:
        what: The thing, in a few words.
        why: What was seen that speaks for it, in sentences.
        command: The command that does it; empty where there is none.
    """

    what: str
    why: str
    command: str = ""


def advise(situation: Situation) -> list[Advice]:
    """Returns what may be done next, the first thing first."""
    rules = _RULES if situation.ranked else (_go_on, _more_epochs, _failures)
    found = [advice for rule in rules if (advice := rule(situation))]
    return found or [Advice("Search", "No trial has ended yet.", situation.command("search"))]


def _go_on(situation: Situation) -> Advice | None:
    if situation.is_through:
        return None
    ended = sum(record.status != RUNNING for record in situation.records)
    why = f"{counted(ended, 'trial has', 'trials have')} ended, and it was asked for more. If no search runs now, this"
    return Advice("Let the search end", f"{why} command goes on where it stopped.", situation.command("search"))


def _more_epochs(situation: Situation) -> Advice | None:
    """Looks at whether the search could not even begin."""
    total, most = situation.config.total_epochs, situation.config.max_epochs
    if not situation.is_through or situation.records or total is None or total >= most:
        return None
    why = f"No trial fits into {counted(total, 'epoch')}; one that is trained to the end takes {most}."
    return Advice("Allow more epochs", why, situation.command("search", "--total-epochs", str(most)))


def _largest_class(situation: Situation) -> Advice | None:
    """Looks at whether any run knows more than which class has the most images."""
    sizes, metric = situation.validation_sizes, situation.config.accuracy
    if not sizes or metric == BALANCED or max(sizes) <= UNEVEN * min(sizes):
        return None
    share, images = max(sizes) / sum(sizes), sum(sizes)
    best = max((run.last.curve[metric][-1] for run in situation.ranked if run.last.curve.get(metric)), default=None)
    error = standard_error(share, images)
    if best is None or best > share + error:
        return None
    what = f"No run beats always saying the largest class, which scores {share:.4f}"
    why = f"That is its share of {images} validation images, and the best {metric} of a run is {best:.4f}"
    why += f" (one standard error is {error:.4f}). " if best > share else ". "
    flags = f"--objective {BALANCED}, under which every class counts alike"
    if "class_weights" not in situation.ranked[0].last.hyperparameters:
        flags += ", and --class-weights, with which images of small classes may count more in training"
    return Advice(f"{what}: let small classes count", f"{why}Begin a new study with {flags}.")


def _export(situation: Situation) -> Advice | None:
    best, export, exported = situation.ranked[0], situation.export, situation.exported
    if export is not None and exported is not None and situation.is_settled:
        return _use(situation, export, exported)
    trained = counted(best.epochs, "epoch")
    why = f"Run {best.number} is the best ({situation.config.objective} {best.score:.4f} after {trained}). "
    why += "The command trains it once more on all images but those of the test, tests it once, and writes a model."
    if export is not None:
        which = f"that of run {exported.number}, which is not as good" if exported else "that of none of these runs"
        why += f" The model in {export.folder} is of another configuration, {which}."
    return Advice("Export the best network", why, situation.command("select"))


def _use(situation: Situation, export: Export, exported: Run) -> Advice:
    """Returns what is known of a model that needs no other in its place."""
    best, objective = situation.ranked[0], situation.config.objective
    seen = f"It is run {exported.number}{_CHOSEN.get(export.rule, '')}. "
    if exported not in situation.equals:
        seen += f"Its {objective} was {exported.score:.4f}; the best run, {best.number}, has {best.score:.4f}. "
    if export.test is None:
        seen += "The data set has no test split, so nothing is known of it but its validation score; a search with "
        seen += "--test-fraction 0.2 sets a fifth of the images aside for the test."
    else:
        name, value, (low, high) = export.test.told(situation.config.accuracy)
        seen += f"Its {name} on {export.test.num_images} test images is {value:.4f} (95 %: "
        seen += f"{low:.4f} to {high:.4f}): believe this figure, not the best score of a search."
    use = shell_line("tuner.predict", export.folder)
    return Advice("Use the exported model", seen, f"{use} IMAGE...")


def _cheaper(situation: Situation) -> Advice | None:
    """Looks for runs that the validation images cannot tell from the best one, and that cost less."""
    best, *others = situation.equals
    error = situation.standard_error(best.score or 0.0)
    is_done = situation.is_settled and situation.export is not None and situation.export.rule == "one-standard-error"
    if error is None or is_done:
        return None
    cost = next(iter(situation.config.costs), "params")
    chosen = (situation.exported if situation.is_settled else None) or best
    cheapest = min(others, key=lambda run: run.last.cost(cost), default=best)
    if not cheapest.last.cost(cost) < chosen.last.cost(cost):
        return None
    why = f"{counted(len(others), 'other run is', 'other runs are')} within one standard error of the best score "
    why += f"({error:.4f} with {situation.validation_images} validation images), and run {cheapest.number} has "
    why += f"{describe_cost(cheapest.last.cost(cost), cost)} where the best one has "
    why += f"{describe_cost(best.last.cost(cost), cost)}. The command trains the best few again and takes the cheapest "
    why += "that is as good."
    again = situation.command("select", "--rule", "one-standard-error")
    return Advice("Look for a smaller network that is as good", why, again)


def _front(situation: Situation) -> Advice | None:
    costs = situation.config.costs
    if not costs:
        return None
    front = front_runs(situation.records, situation.config.direction, cost=costs[0])
    if len(front) < 2 or {run.number for run in front} <= set(situation.exported_front):
        return None
    why = f"No other run is better than one of these {len(front)} in both {situation.config.objective} and {costs[0]}. "
    why += "The command exports all."
    return Advice("Export the whole front", why, situation.command("select", "--rule", "pareto"))


def _longer(situation: Situation) -> Advice | None:
    """Looks at when the best run was found, and whether it is the one with which the search began."""
    if not situation.is_through or len(situation.finalists) < NUM_BEST or situation.config.algorithm == "grid":
        return None
    best = situation.finalists[0]
    share = _share_before(situation.records, best.last)
    if is_default(situation.space, best.last.hyperparameters):
        why = f"None of {len(situation.finalists) - 1} other runs of as many epochs beats the default configuration."
    elif share > LATE:
        why = f"The best run ended after {share:.0%} of all epochs, so better ones may follow."
    else:
        return None
    made = len(situation.records)
    epochs = sum(record.rung - record.initial_epoch for record in situation.records)
    total = ["--trials", str(2 * made)] if made == situation.config.trials else ["--total-epochs", str(2 * epochs)]
    why += " The command lets the same study go on with twice the budget."
    return Advice("Search longer", why, situation.command("search", *total))


def _share_before(records: Sequence[Record], last: Record) -> float:
    """Returns the share of a search's epochs that were trained when a trial had ended."""
    trained = {record.trial: len(record.curve.get("epoch", ())) for record in records}
    ended = [record for record in records if record.order is not None and record.order <= (last.order or 0)]
    return sum(trained[record.trial] for record in ended) / max(sum(trained.values()), 1)


def _ends_of_ranges(situation: Situation) -> Advice | None:
    """Looks for ranges at whose ends most of the best runs lie."""
    best = situation.finalists[:NUM_BEST]
    if len(best) < NUM_BEST:
        return None
    ends = collections.Counter(end for run in best for end in ends_reached(situation.space, run.last.hyperparameters))
    found = [end for end, times in ends.items() if times >= OF_THE_BEST]
    if not found:
        return None
    named = ", ".join(f"{name} ({bound} is its {which} value)" for name, which, bound in found)
    why = f"At least {OF_THE_BEST} of the {NUM_BEST} best runs lie at the end of a range: {named}. Better values may "
    source = situation.config.space
    file = source if source.endswith(".py") else f"a copy of search_spaces/{source}.py"
    return Advice("Widen the space", f"{why}lie beyond: search in a new study with {file} whose ranges are wider.")


def _gates(situation: Situation) -> Advice | None:
    """Looks at whether it was seen what squeeze-and-excitation brings."""
    gated = [run for run in situation.ranked if any(gate_ratios(run.last.hyperparameters))]
    if not situation.is_through or not gated or situation.comparisons:
        return None
    why = f"Run {gated[0].number}, the best one with it, may owe its score to it or to chance. The command trains that "
    why += "network with and without it, from the same new seeds, and compares them; the test images are left alone."
    return Advice("See what squeeze-and-excitation brings", why, situation.command("ablate", "--quick"))


def _rising(situation: Situation) -> Advice | None:
    """Looks at whether the best run still gained in the last third of its epochs, and might gain more."""
    best = situation.ranked[0]
    scores = [value for _, value in best.curve(situation.config.objective)]
    error = situation.standard_error(best.score or 0.0)
    if error is None or len(scores) < 3 or best.rung < situation.config.max_epochs:
        return None
    gained = scores[-1] - scores[len(scores) - 1 - len(scores) // 3]
    if gained <= error or 1.0 - scores[-1] <= error:
        return None
    why = f"Run {best.number} gained {gained:.4f} in the last third of its epochs, more than a standard error "
    why += f"({error:.4f}). The learning rate falls over all epochs, so more of them need a new study, such as one "
    return Advice("Train for more epochs", f"{why}with --max-epochs {2 * situation.config.max_epochs}.")


def _overfitting(situation: Situation) -> Advice | None:
    """Looks at how much better the best run does on what it was trained on."""
    curve = situation.ranked[0].last.curve
    if not curve.get("accuracy") or not curve.get("val_accuracy"):
        return None
    training, validation = curve["accuracy"][-1], curve["val_accuracy"][-1]
    if training - validation <= GAP:
        return None
    why = f"Run {situation.ranked[0].number} is right on {training:.1%} of the training images and {validation:.1%} of "
    why += "the others. More images help most. "
    if not set(AUGMENTATION_NAMES) & set(situation.ranked[0].last.hyperparameters):
        why += "A new study with --augment mirrors and moves the training images at random. "
    why += "A space with dropout, stochastic_depth, label_smoothing or more weight_decay may help, too."
    return Advice("Regularise, or find more images", why)


def _failures(situation: Situation) -> Advice | None:
    failed: dict[str, list[Record]] = {}
    for record in situation.records:
        if record.status in _REMEDIES:
            failed.setdefault(record.status, []).append(record)
    if not failed:
        return None
    told = []
    for status, those in failed.items():
        first = f"; the first says: {those[0].cause}" if those[0].cause else ""
        told.append(f"{counted(len(those), 'trial')} {status}: try {_REMEDIES[status]}{first}.")
    return Advice("Look at what failed", " ".join(told))


_RULES = (
    _largest_class,
    _go_on,
    _front,
    _export,
    _cheaper,
    _longer,
    _ends_of_ranges,
    _rising,
    _overfitting,
    _gates,
    _failures,
)
