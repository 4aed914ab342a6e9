"""Prepares Fashion-MNIST for TFDS from Debian's package dataset-fashion-mnist, without the internet.

The package has upstream's four files with gzip headers that `gzip -n` rewrote: the original name is gone and the time
changed. With both put back, size and SHA-256 equal those that TFDS has registered, and TFDS's own builder takes them.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from pathlib import Path
from typing import Any

from tuner.data.catalog import prepared
from tuner.data.quiet import quiet
from tuner.data.tfds import tfds
from tuner.errors import DataError

__all__ = ["prepare", "prepared_in", "restore"]

# Times in upstream's gzip headers (seconds since 1970). They are right if the checksums below come out right.
_MODIFICATION_TIMES = {
    "train-images-idx3-ubyte.gz": 1504176606,
    "train-labels-idx1-ubyte.gz": 1504176606,
    "t10k-images-idx3-ubyte.gz": 1504176627,
    "t10k-labels-idx1-ubyte.gz": 1504176627,
}
_HEADER_BYTES = 10  # of a gzip file without optional fields (RFC 1952, section 2.3)


def prepared_in(data_dir: str | None) -> str | None:
    """Returns the folder in which TFDS has prepared Fashion-MNIST, or None if it has not.

    Args:
        data_dir: TFDS's data directory; None is its default.
    """
    with quiet():
        builder = _open(data_dir)
        return builder.data_dir if builder.is_prepared() else None


def prepare(folder: Path, data_dir: str | None) -> Any:
    """Lets TFDS prepare all 70,000 images, checksums enforced.

    Args:
        folder: Where the package put its files, `/usr/share/datasets/fashion-mnist`.
        data_dir: TFDS's data directory; None is its default.

    Returns:
        The prepared `tfds.core.DatasetBuilder`.

    Raises:
        DataError: If a file is missing or is not upstream's, or the data directory cannot be written.
    """
    registered = {info.filename: info.checksum for info in _open(data_dir).url_infos.values()}
    with tempfile.TemporaryDirectory(prefix="fashion-mnist-") as temporary:
        for name in _MODIFICATION_TIMES:
            content = restore(folder / name, checksum=registered[name])
            (Path(temporary) / name).write_bytes(content)
        config = tfds.download.DownloadConfig(
            manual_dir=temporary, force_checksums_validation=True, try_download_gcs=False
        )
        return prepared(
            "fashion_mnist",
            lambda: _open(data_dir),
            way_out="Check that the data directory can be written and has room for 60 MB.",
            download_dir=temporary,
            download_config=config,
        )


def restore(path: Path, *, checksum: str) -> bytes:
    """Returns the bytes that upstream published, from Debian's file or from upstream's own.

    Args:
        path: One of the four files.
        checksum: The SHA-256 that TFDS has registered, in hexadecimal.

    Raises:
        DataError: If the file is missing or has other content.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Install Debian's package dataset-fashion-mnist and give "
            "--from /usr/share/datasets/fashion-mnist."
        ) from error
    # Flag 8 says that a name follows; the two bytes behind the time (compression, system) are upstream's.
    header = b"\x1f\x8b\x08\x08" + struct.pack("<I", _MODIFICATION_TIMES[path.name]) + content[8:_HEADER_BYTES]
    candidates = (content, header + path.stem.encode() + b"\0" + content[_HEADER_BYTES:])
    for candidate in candidates:
        if hashlib.sha256(candidate).hexdigest() == checksum:
            return candidate
    raise DataError(
        f"{path} is not the file that Fashion-MNIST published; reinstall Debian's package dataset-fashion-mnist."
    )


def _open(data_dir: str | None) -> Any:
    return tfds.builder("fashion_mnist", data_dir=data_dir)
