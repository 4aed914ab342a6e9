"""Lists the commands: `python -m tuner`."""

COMMANDS = {
    "tuner.search": "search a space for the best network; continue a study",
    "tuner.leaderboard": "print the ranked runs of a study",
    "tuner.report": "show a study on one page, and what to do next",
    "tuner.select": "retrain the best run, test it once, export it",
    "tuner.ablate": "compare the best run with itself without SE, and with other SE",
    "tuner.predict": "name what is on images, from an export alone",
    "tuner.data": "prepare data sets",
    "tuner.models": "list the networks that have a name, with their size and published errors",
}


def main() -> int:
    """Prints the commands, in the order in which they are used."""
    print("Commands (each has --help):\n")
    for name, purpose in COMMANDS.items():
        print(f"  python -m {name:<18} {purpose}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
