"""What several files of tests share: a trial of which a test says only what matters to it, and a check of folders."""

from tuner.records import COMPLETED, Record


def a_record(trial=0, **fields):
    """Returns a trial that has trained its only epoch, with no hyperparameters and no score, but for `fields`."""
    plain = {
        "parent": None,
        "hyperparameters": {},
        "initial_epoch": 0,
        "epochs": 1,
        "status": COMPLETED,
        "seed": 0,
        "params": 1,
        "macs": 1,
    }
    return Record(trial=trial, **plain | fields)


def only_earlier_is_left(directory):
    """Asserts that a failure has left the folder of the fixture `earlier` alone, and nothing beside it."""
    assert [path.name for path in directory.parent.iterdir()] == ["model"]
    assert [path.name for path in directory.iterdir()] == ["card.md"]
    assert (directory / "card.md").read_text() == "earlier"
