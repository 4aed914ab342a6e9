"""Lists the commands: `python -m tuner`."""

import sys
from collections.abc import Sequence

from tuner import command
from tuner.errors import UsageError, did_you_mean

COMMANDS = {
    "tuner.search": "search for the best network; continue a study",
    "tuner.leaderboard": "print the ranked runs of a study",
    "tuner.report": "show a study on one page, and what to do next",
    "tuner.select": "retrain the best run, test it once, export it",
    "tuner.ablate": "compare the best run with itself without SE",
    "tuner.predict": "name what is on images, from an export alone",
    "tuner.data": "prepare data sets",
    "tuner.models": "list the networks that have a name",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the commands, in the order in which they are used; returns the exit status."""
    given = sys.argv[1:] if argv is None else argv
    return command.run(lambda: _list(given), debug=False)


def _list(given: Sequence[str]) -> None:
    if given and given[0] not in ("-h", "--help"):  # such as `python -m tuner search`, which would seem to do nothing
        hint = "" if given[0].startswith("-") else did_you_mean(f"tuner.{given[0]}", COMMANDS)
        raise UsageError(
            f"python -m tuner lists the commands, takes no arguments, and was given {given[0]!r}; a command is written "
            f"python -m tuner.search.{hint}"
        )
    print("Commands (each has --help):\n")
    for name, purpose in COMMANDS.items():
        print(f"  python -m {name:<18} {purpose}")


if __name__ == "__main__":
    command.leave(main())
