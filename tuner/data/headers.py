"""Size, channels and orientation of a PNG or JPEG file from its first bytes, not decoded. Standard library only."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import BinaryIO

from tuner.errors import DataError

__all__ = ["ImageHeader", "read_header", "refused_print"]

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = 33  # bytes of the signature and of the IHDR chunk, behind which the others are
_PNG_CHECK = 4  # bytes behind the content of each chunk
_JPEG = b"\xff\xd8"
_PNG_GREY_TYPES = (0, 4)  # grey, grey with alpha (ISO/IEC 15948, table 11.1); palettes count as colour
_APP1 = 0xE1
_EXIF = b"Exif\0\0"
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}  # by the first bytes of EXIF data (TIFF 6.0, section 2)
_ORIENTATION = 0x0112  # tag of a number from 1, as stored, to 8 (JEITA CP-3451, 4.6.4)
_WHOLE_NUMBERS = {3: "H", 4: "I"}  # forms of a value of 2 and of 4 bytes by the number of their type
# Start-of-frame markers: C0-CF without DHT (C4), JPG (C8) and DAC (CC) (ITU-T T.81, table B.1).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What a file says about its image.

    Args:
        height: Pixels of the upright image.
        width: Pixels of the upright image.
        channels: 1 for grey and 3 for colour; an alpha channel does not count.
        is_cmyk: Whether it has four colours for print, which TensorFlow turns into three, but not into grey.
        orientation: How it is stored, from 1, upright, to 8, as EXIF numbers them.
    """

    height: int
    width: int
    channels: int
    is_cmyk: bool = False
    orientation: int = 1


def read_header(path: Path) -> ImageHeader:
    """Returns the size, the channels and the orientation of an image file; the name's ending plays no part.

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


def _upright(height: int, width: int, channels: int, exif: bytes, *, is_cmyk: bool = False) -> ImageHeader:
    """Returns the header of an image from its sides as they are stored; those of 5 to 8 are exchanged.

    Raises:
        ValueError: If it has no pixels.
    """
    if not width or not height:
        raise ValueError("no pixels")
    orientation = _orientation(exif)
    if orientation >= 5:
        height, width = width, height
    return ImageHeader(height, width, channels, is_cmyk=is_cmyk, orientation=orientation)


def _orientation(exif: bytes) -> int:
    """Returns the orientation that EXIF data has in its first directory, of entries of 12 bytes (TIFF 6.0), or 1."""
    tiff = exif.removeprefix(_EXIF)  # which some PNG files have as well
    try:
        order = _BYTE_ORDERS[tiff[:2]]
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, place)
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(f"{order}{_WHOLE_NUMBERS[kind]}", tiff, place + 8)
                return value if 1 <= value <= 8 else 1
    except (KeyError, struct.error):  # no or broken EXIF data, which says nothing of the image
        pass
    return 1


def _read_png(file: BinaryIO) -> ImageHeader:
    """Reads the IHDR chunk, which always comes first."""
    _, name, width, height, _, colour_type = struct.unpack(">I4sIIBB", file.read(18))
    if name != b"IHDR":
        raise ValueError("no IHDR chunk")
    file.seek(_PNG_CHUNKS)
    return _upright(height, width, 1 if colour_type in _PNG_GREY_TYPES else 3, _exif_of_png(file))


def _exif_of_png(file: BinaryIO) -> bytes:
    """Returns the eXIf chunk, which belongs before the pixels (W3C PNG, third edition, table 7), or nothing."""
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        if name == b"eXIf":
            return file.read(length)
        if name == b"IDAT":
            break
        file.seek(length + _PNG_CHECK, 1)
    return b""


def _read_jpeg(file: BinaryIO) -> ImageHeader:
    """Skips segments up to the start of the frame, but for EXIF data, which comes before it."""
    exif = b""
    while True:
        prefix, marker = struct.unpack("2B", file.read(2))
        while marker == 0xFF:  # fill bytes
            (marker,) = struct.unpack("B", file.read(1))
        if prefix != 0xFF:
            raise ValueError("no marker where one belongs")
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_FRAMES:
            _, height, width, components = struct.unpack(">BHHB", file.read(6))
            return _upright(height, width, 1 if components == 1 else 3, exif, is_cmyk=components == 4)
        if length < 2:
            raise ValueError("a segment that is shorter than its length")
        if marker != _APP1:
            file.seek(length - 2, 1)
        elif (segment := file.read(length - 2)).startswith(_EXIF):
            exif = exif or segment
