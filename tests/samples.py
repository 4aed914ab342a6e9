"""A trial as plain data, of which a test says only what matters to it."""

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
