"""A folder is there whole or not at all, and the one before it is not lost."""

import os
import shutil
from pathlib import Path

import pytest
from samples import only_earlier_is_left

from tuner import folders
from tuner.folders import clear_away, put_in_place


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
def test_interrupted_replacement_brings_the_earlier_folder_back(error, tmp_path, earlier, monkeypatch):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    rename = Path.rename

    def fail_at_fresh(path, target):
        if path == fresh:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_at_fresh)
    with pytest.raises(type(error)):
        put_in_place(fresh, earlier, previous=tmp_path / "previous")
    fresh.rmdir()
    only_earlier_is_left(earlier)


@pytest.mark.parametrize("is_ours", [True, False])
def test_earlier_folder_that_is_write_protected_is_removed_or_named(is_ours, tmp_path, earlier, monkeypatch):
    fresh, previous = tmp_path / "fresh", tmp_path / "previous"
    (earlier / "saved_model" / "variables").mkdir(parents=True)
    protected = [earlier / "saved_model" / "variables", earlier / "saved_model", earlier]
    for folder in protected:
        folder.chmod(0o500)
    fresh.mkdir()

    def refuse(path, mode):
        raise PermissionError(path)

    if not is_ours:
        monkeypatch.setattr(Path, "chmod", refuse)

    def remove(path, *, ignore_errors):  # root may remove everything
        if all(folder.stat().st_mode & 0o200 for folder in (path, *path.rglob("*"))):
            shutil.rmtree(path)

    monkeypatch.setattr(folders, "rmtree", remove)
    left = put_in_place(fresh, earlier, previous=previous)
    assert left == (None if is_ours else previous)
    assert previous.exists() != is_ours
    assert list(earlier.iterdir()) == []


def test_what_killed_processes_left_is_cleared_away_and_the_earlier_one_is_put_back(earlier):
    aside, dead, running = (earlier.with_name(f".model-{name}") for name in ("a-previous", "a", "b"))
    earlier.rename(aside)
    dead.mkdir()
    os.utime(dead, (0, 0))
    running.mkdir()
    clear_away(earlier, idle_seconds=1200)
    assert sorted(earlier.parent.iterdir()) == sorted([earlier, running])
    running.rmdir()
    only_earlier_is_left(earlier)
