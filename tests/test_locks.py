"""One search at a time writes to a study; the others are told before they have started anything."""

import errno
import os

import pytest

from tuner.errors import StudyError, UsageError
from tuner.locks import check_place, locked


def test_place_where_nothing_can_be_locked_is_wrong_usage(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match="file/mine cannot be made: Not a directory"),
        locked(tmp_path / "file" / "mine"),
    ):
        pass

    def refuse(lock):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(UsageError, match="mine cannot be written to: Read-only file"), locked(tmp_path / "mine"):
        pass


def test_second_search_is_kept_away_until_the_first_ends(tmp_path):
    with locked(tmp_path / "mine"):
        with pytest.raises(StudyError, match=r"Another search is writing to .*mine"), locked(tmp_path / "mine"):
            pass
        with locked(tmp_path / "another"):
            pass
    with locked(tmp_path / "mine"):
        pass


def test_study_in_a_shared_storage_is_kept_for_one_search(tmp_path):
    url, other = f"sqlite:///{tmp_path}/all.db", f"sqlite:///{tmp_path}/other.db"
    with locked(tmp_path / "a" / "mine", url):
        with pytest.raises(StudyError, match=r"Another search is writing to the study mine in sqlite:.*all\.db"):
            check_place(tmp_path / "b" / "mine", url)
        assert not (tmp_path / "b").exists()
        with pytest.raises(StudyError, match="Another search is writing"), locked(tmp_path / "b" / "mine", url):
            pass
        for folder, storage in (("b/another", url), ("b/mine", other), ("b/mine", None)):
            with locked(tmp_path / folder, storage):
                pass
    with locked(tmp_path / "b" / "mine", url):
        pass


def test_place_that_cannot_hold_a_study_is_refused_before_there_is_anything(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    check_place(tmp_path / "results" / "mine", None)
    check_place(tmp_path / "results" / "mine", f"sqlite:///{tmp_path}/all.db")
    for folder in ("file", "file/mine"):
        with pytest.raises(UsageError, match=r"but .*/file is no folder; choose another --results-dir"):
            check_place(tmp_path / folder, None)
    with pytest.raises(UsageError, match=r"there is no folder .*/missing; make it first"):
        check_place(tmp_path / "mine", f"sqlite:///{tmp_path}/missing/all.db")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(UsageError, match=f"but {tmp_path} cannot be written to"):
        check_place(tmp_path / "mine", None)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("storage", "where"), [(None, "it"), ("sqlite:///other.db", "sqlite:///other.db")])
def test_folder_of_a_study_that_is_elsewhere_is_refused(storage, where, tmp_path):
    """Until then a search began anew, and wrote its leaderboard over that of the other."""
    (tmp_path / "leaderboard.csv").write_text("rank\n")
    with pytest.raises(StudyError, match=f"the leaderboard of a study that is not in {where}; give the --storage"):
        check_place(tmp_path, storage)
    check_place(tmp_path, storage, is_new=False)


def test_place_of_a_running_search_is_refused(tmp_path):
    with locked(tmp_path / "mine"), pytest.raises(StudyError, match="Another search is writing to"):
        check_place(tmp_path / "mine", None)
    check_place(tmp_path / "mine", None)


def test_database_of_one_study_is_kept_also_by_its_url(tmp_path):
    """A search prints the URL; with it and another folder of results, two searches wrote to one study."""
    url = f"sqlite:///{tmp_path}/a/mine/study.db"
    with locked(tmp_path / "a" / "mine"):
        with pytest.raises(StudyError, match="Another search is writing to the study mine in sqlite:"):
            check_place(tmp_path / "b" / "mine", url)
        with pytest.raises(StudyError, match="Another search is writing"), locked(tmp_path / "b" / "mine", url):
            pass
    with locked(tmp_path / "b" / "mine", url), pytest.raises(StudyError, match="Another search is writing"):
        check_place(tmp_path / "a" / "mine", None)
    with locked(tmp_path / "a" / "mine", url) as hold:  # once, not twice
        hold()


def test_link_to_a_database_is_the_database(tmp_path):
    (tmp_path / "all.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "all.db")
    with locked(tmp_path / "a" / "mine", f"sqlite:///{tmp_path}/all.db"), pytest.raises(StudyError, match="Another"):
        check_place(tmp_path / "b" / "mine", f"sqlite:///{tmp_path}/link.db")


def test_server_of_another_kind_is_not_connected_to_for_a_lock(tmp_path):
    url = "mysql+pymysql://user@nowhere/db"  # of which no driver is installed
    check_place(tmp_path / "mine", url)
    with locked(tmp_path / "mine", url) as hold:
        hold()
        check_place(tmp_path / "other" / "mine", url)
        with pytest.raises(StudyError, match="Another search is writing"):
            check_place(tmp_path / "mine", url)
