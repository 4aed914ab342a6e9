"""Files are there whole or not at all."""

import os

import pytest

from tuner.errors import TunerError
from tuner.files import obstacle, replacing, write_whole


def _write_half(path, error):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_is_not_written_to_its_end_leaves_nothing(error, tmp_path):
    path = tmp_path / "results.csv"
    write_whole(path, "before")
    with pytest.raises(type(error)):
        _write_half(path, error)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("results.csv", "before")]


def test_place_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(TunerError, match=r"absent/results\.csv cannot be written: No such file or directory\. Once"):
        write_whole(tmp_path / "absent" / "results.csv", "text")


def test_what_stands_in_the_way_of_a_folder_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert obstacle(tmp_path / "new" / "newer") == ""
    assert obstacle(tmp_path / "file" / "new") == f"{tmp_path}/file is no folder"
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write everywhere
    assert obstacle(tmp_path / "new") == f"{tmp_path} cannot be written to"
