"""Lists the commands: `python -m tuner`."""

import sys
from collections.abc import Sequence

from tuner.command import USAGE, print_error
from tuner.errors import did_you_mean

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
    if given and given[0] not in ("-h", "--help"):  # such as `python -m tuner search`, which would seem to do nothing
        hint = "" if given[0].startswith("-") else did_you_mean(f"tuner.{given[0]}", COMMANDS)
        print_error(
            f"python -m tuner lists the commands, takes no arguments, and was given {given[0]!r}; a command is written "
            f"python -m tuner.search.{hint}"
        )
        return USAGE
    print("Commands (each has --help):\n")
    for name, purpose in COMMANDS.items():
        print(f"  python -m {name:<18} {purpose}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
