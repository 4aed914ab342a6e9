"""A study in a real PostgreSQL server: set `TUNER_TEST_POSTGRESQL` to its URL; .ci/run starts one."""

import contextlib
import dataclasses
import math
import os
import uuid

import pytest
import sqlalchemy
from samples import a_record

from tuner.config import SearchConfig
from tuner.errors import StudyError
from tuner.locks import check_place, locked
from tuner.records import COMPLETED, RUNNING
from tuner.study import Study

URL = os.environ.get("TUNER_TEST_POSTGRESQL")
pytestmark = pytest.mark.skipif(not URL, reason="TUNER_TEST_POSTGRESQL names no server")

CONFIG = SearchConfig(space="tiny", max_epochs=3, batch_size=64)
SPACE = [{"class_name": "Choice", "config": {"name": "width", "values": [4, 8], "conditions": []}}]
BEGUN = a_record(hyperparameters={"width": 8}, status=RUNNING, seed=5, params=10, macs=20)
CURVE = {"epoch": [1], "val_accuracy": [0.5], "val_loss": [float("nan")]}
ENDED = dataclasses.replace(BEGUN, status=COMPLETED, score=0.5, best_score=0.5, best_epoch=1, curve=CURVE, order=0)


def test_a_study_in_postgresql_comes_back_as_it_was_written():
    name = f"study-{uuid.uuid4()}"
    with contextlib.closing(Study.create(URL, name, config=CONFIG, space=SPACE, versions={})) as study:
        study.begin(BEGUN, proposal={"width": 8})
        study.report(0, epoch=1, value=0.5)
        study.finish(ENDED)

    with contextlib.closing(Study.open(URL, name)) as again:
        (record,) = again.records()
        assert again.config == CONFIG
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


@pytest.fixture
def name():
    return f"study-{uuid.uuid4()}"


@pytest.fixture
def url(name):
    """The server's URL with a name for its connections."""
    return sqlalchemy.make_url(URL).update_query_dict({"application_name": name}).render_as_string(hide_password=False)


@pytest.fixture
def cut(name):
    """Ends the connections of that name, as a restart of the server does."""
    ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = :name"
    engine = sqlalchemy.create_engine(URL, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")

    def cut():
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text(ended), {"name": name}).scalars().all()

    return cut


def test_study_goes_on_where_the_server_has_cut_its_connections(name, url, cut):
    with contextlib.closing(Study.create(url, name, config=CONFIG, space=SPACE, versions={})) as study:
        study.begin(BEGUN, proposal={"width": 8})
        cut()
        study.report(0, epoch=1, value=0.5)
        cut()
        study.finish(ENDED)
        cut()
        assert [record.status for record in study.records()] == [COMPLETED]


def test_lock_that_went_with_its_connection_is_taken_again(name, url, cut, tmp_path):
    """Else a second search would be admitted where the server was restarted, or cut what was not used for long."""
    with locked(tmp_path / "a" / name, url) as hold:
        hold()
        cut()
        hold()
        with pytest.raises(StudyError, match="Another search is writing"):
            check_place(tmp_path / "b" / name, URL)
        cut()
        with locked(tmp_path / "b" / name, URL), pytest.raises(StudyError, match="was lost, and another search has it"):
            hold()


def test_study_whose_lock_another_search_has_gets_no_trial(name, url, cut, tmp_path):
    with (
        locked(tmp_path / "a" / name, url) as hold,
        contextlib.closing(Study.create(URL, name, config=CONFIG, space=SPACE, versions={})) as study,
    ):
        study.hold = hold
        cut()
        with locked(tmp_path / "b" / name, URL), pytest.raises(StudyError, match="was lost"):
            study.begin(BEGUN, proposal={"width": 8})
        assert study.records() == []
