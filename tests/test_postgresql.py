"""A study in a real PostgreSQL server: set `TUNER_TEST_POSTGRESQL` to its URL; .ci/run starts one."""

import contextlib
import math
import os
import uuid

import pytest

from tuner.config import SearchConfig
from tuner.errors import StudyError
from tuner.records import COMPLETED, RUNNING, Record
from tuner.storage import check_place, locked
from tuner.study import Study

URL = os.environ.get("TUNER_TEST_POSTGRESQL")
pytestmark = pytest.mark.skipif(not URL, reason="TUNER_TEST_POSTGRESQL names no server")


def test_a_study_in_postgresql_comes_back_as_it_was_written():
    name = f"study-{uuid.uuid4()}"
    config = SearchConfig(space="tiny", max_epochs=3, batch_size=64)
    space = [{"class_name": "Choice", "config": {"name": "width", "values": [4, 8], "conditions": []}}]
    begun = Record(
        trial=0,
        parent=None,
        hyperparameters={"width": 8},
        initial_epoch=0,
        epochs=1,
        status=RUNNING,
        seed=5,
        params=10,
        macs=20,
    )
    curve = {"epoch": [1], "val_accuracy": [0.5], "val_loss": [float("nan")]}
    ended = {"status": COMPLETED, "score": 0.5, "best_score": 0.5, "best_epoch": 1, "curve": curve, "order": 0}
    with contextlib.closing(Study.create(URL, name, config=config, space=space, versions={})) as study:
        study.begin(begun, proposal={"width": 8})
        study.report(0, epoch=1, value=0.5)
        study.finish(Record(**{**vars(begun), **ended}))

    with contextlib.closing(Study.open(URL, name)) as again:
        (record,) = again.records()
        assert again.config == config
    assert (record.status, record.score, record.hyperparameters) == (COMPLETED, 0.5, {"width": 8})
    assert math.isnan(record.curve["val_loss"][0])
    assert Study.open(URL, f"{name}-other") is None


def test_study_on_the_server_is_kept_for_one_search(tmp_path):
    name = f"study-{uuid.uuid4()}"
    with locked(tmp_path / "a" / name, URL):
        with pytest.raises(StudyError, match=f"Another search is writing to the study {name} in postgresql"):
            check_place(tmp_path / "b" / name, URL)
        with pytest.raises(StudyError, match="Another search is writing"), locked(tmp_path / "b" / name, URL):
            pass
        with locked(tmp_path / "b" / f"{name}-other", URL):
            pass
    with locked(tmp_path / "b" / name, URL):
        pass
