"""Size, channels and orientation of a PNG or JPEG file from its first bytes, not decoded. Standard library only."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import BinaryIO

from tuner.errors import DataError

__all__ = ["ImageHeader", "is_rotated", "read_header", "refused_print"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_PNG_GREY_TYPES = (0, 4)  # grey, grey with alpha (ISO/IEC 15948, table 11.1); palettes count as colour
_APP1, _SCAN = 0xE1, 0xDA
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112  # tag of a number from 1, as stored, to 8 (JEITA CP-3451, 4.6.4)
# Start-of-frame markers: C0-CF without DHT (C4), JPG (C8) and DAC (CC) (ITU-T T.81, table B.1).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What a file says about its image.

    Args:
        height: Pixels.
        width: Pixels.
        channels: 1 for grey and 3 for colour; an alpha channel does not count.
        is_cmyk: Whether it has four colours for print, which TensorFlow turns into three, but not into grey.
    """

    height: int
    width: int
    channels: int
    is_cmyk: bool = False


def read_header(path: Path) -> ImageHeader:
    """Returns the size and the channels of an image file; the name's ending plays no part.

    Raises:
        DataError: If the file cannot be read, is a pipe or empty, is neither PNG nor JPEG, or ends within its header.
    """
    if path.is_fifo():  # it would be waited for
        raise DataError(f"{path} is a pipe; remove it.")
    try:
        with path.open("rb") as file:
            start = file.read(len(_PNG))
            if start == _PNG:
                return _read_png(file)
            if start[:2] == _JPEG:
                file.seek(2)
                return _read_jpeg(file)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; replace or remove it.") from error
    except (struct.error, ValueError) as error:
        raise DataError(f"{path} is a broken image; replace or remove it.") from error
    if not start:
        raise DataError(f"{path} is empty (0 bytes); replace or remove it.")
    raise DataError(f"{path} is neither a PNG nor a JPEG image; convert or remove it.")


def refused_print(path: Path) -> DataError:
    """Returns the error for a CMYK image where grey ones are asked for."""
    return DataError(f"{path} is a JPEG with four colours for print (CMYK) among grey images; convert it.")


def is_rotated(path: Path) -> bool:
    """Whether a JPEG file says that its image is to be shown turned or mirrored; no where it cannot be read."""
    if path.is_fifo():
        return False
    try:
        with path.open("rb") as file:
            if file.read(2) != _JPEG:
                return False
            while True:
                prefix, marker, length = struct.unpack(">BBH", file.read(4))
                if prefix != 0xFF or marker == _SCAN or marker in _JPEG_FRAMES:
                    return False
                if marker == _APP1 and (segment := file.read(length - 2)).startswith(_EXIF):
                    return _orientation(segment[len(_EXIF) :]) not in (0, 1)
                if marker != _APP1:
                    file.seek(length - 2, 1)
    except (OSError, ValueError, struct.error):
        return False


def _orientation(tiff: bytes) -> int:
    """Returns the orientation that EXIF data has, or 0: in its first directory, of entries of 12 bytes (TIFF 6.0)."""
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, start)
    for place in range(start + 2, start + 2 + 12 * entries, 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, place)
        if tag == _ORIENTATION:
            return int(value)
    return 0


def _read_png(file: BinaryIO) -> ImageHeader:
    """Reads the IHDR chunk, which always comes first."""
    _, name, width, height, _, colour_type = struct.unpack(">I4sIIBB", file.read(18))
    if name != b"IHDR" or not width or not height:
        raise ValueError("no IHDR chunk")
    return ImageHeader(height, width, 1 if colour_type in _PNG_GREY_TYPES else 3)


def _read_jpeg(file: BinaryIO) -> ImageHeader:
    """Skips segments up to the start of the frame."""
    while True:
        prefix, marker = struct.unpack("2B", file.read(2))
        while marker == 0xFF:  # fill bytes
            (marker,) = struct.unpack("B", file.read(1))
        if prefix != 0xFF:
            raise ValueError("no marker where one belongs")
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_FRAMES:
            _, height, width, components = struct.unpack(">BHHB", file.read(6))
            if not width or not height:
                raise ValueError("an empty frame")
            return ImageHeader(height, width, 1 if components == 1 else 3, is_cmyk=components == 4)
        file.seek(length - 2, 1)
