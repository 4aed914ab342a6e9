"""Debian's Fashion-MNIST becomes TFDS's, or one line says which file is wrong."""

import gzip
import hashlib
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tuner.data import DataSpec, load, load_test
from tuner.data.__main__ import main
from tuner.data.fashion_mnist import restore
from tuner.errors import DataError

_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_needs_debian = pytest.mark.skipif(not _DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is absent")


def _run(folder, data_dir):
    return main(["prepare", "fashion_mnist", "--from", str(folder), "--data-dir", str(data_dir)])


def test_header_that_gzip_rewrote_is_restored(tmp_path):
    stripped = gzip.compress(b"labels", mtime=7)
    name = "t10k-labels-idx1-ubyte.gz"
    upstream = (
        b"\x1f\x8b\x08\x08"
        + struct.pack("<I", 1504176627)
        + stripped[8:10]
        + b"t10k-labels-idx1-ubyte\0"
        + stripped[10:]
    )
    checksum = hashlib.sha256(upstream).hexdigest()
    for content in (stripped, upstream):
        (tmp_path / name).write_bytes(content)
        assert restore(tmp_path / name, checksum=checksum) == upstream
    assert gzip.decompress(upstream) == b"labels"


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", gzip.compress(b"other", mtime=7)], ids=["empty", "cut short", "another file"]
)
def test_other_content_is_refused_by_file_name(content, tmp_path):
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz is not the file .*reinstall"):
        restore(path, checksum="0" * 64)


def test_missing_folder_is_one_line_with_the_way_out(tmp_path, capsys):
    assert _run(tmp_path / "nothing", tmp_path / "data") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Error: {tmp_path / 'nothing'}")
    assert "dataset-fashion-mnist" in err
    assert err.count("\n") == 1


@_needs_debian
def test_changed_file_is_one_line_that_names_it(tmp_path, capsys):
    shutil.copytree(_DEBIAN, tmp_path / "files")
    with (tmp_path / "files" / "t10k-labels-idx1-ubyte.gz").open("ab") as file:
        file.write(b"x")
    assert _run(tmp_path / "files", tmp_path / "data") == 2
    assert "t10k-labels-idx1-ubyte.gz is not the file" in capsys.readouterr().err
    assert not (tmp_path / "data" / "fashion_mnist").exists()


def test_help_is_fast_and_shows_an_example():
    program = (
        "import sys\nfrom tuner.data.__main__ import main\ntry: main(['prepare', '--help'])\n"
        "except SystemExit as e: print(e.code, {'numpy', 'keras', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--from /usr/share/datasets/fashion-mnist" in done.stdout
    assert done.stdout.endswith("0 set()\n")


@pytest.mark.parametrize("argv", [[], ["prepare"], ["prepare", "mnist", "--from", "x"]])
def test_wrong_usage_exits_with_two(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.slow
@_needs_debian
def test_all_images_are_prepared_with_checksums_and_once(tmp_path, capfd):
    assert _run(_DEBIAN, tmp_path) == 0
    out, err = capfd.readouterr()
    assert out.startswith("fashion_mnist is prepared in ")
    assert "60000 train, 10000 test images" in out
    assert err == ""
    assert _run(_DEBIAN, tmp_path) == 0
    assert capfd.readouterr().out.startswith("fashion_mnist is already prepared in ")
    spec = DataSpec("tfds:fashion_mnist", data_dir=str(tmp_path))
    dataset, test = load(spec), load_test(spec)
    assert dataset.labels[0] == "T-shirt/top"
    assert np.bincount(dataset.train.labels).tolist() == [4800] * 10
    assert np.bincount(dataset.validation.labels).tolist() == [1200] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    with gzip.open(_DEBIAN / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(10000, 28, 28, 1)
    assert sorted(map(bytes, test.images)) == sorted(map(bytes, pixels))
