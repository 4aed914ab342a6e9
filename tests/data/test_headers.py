"""Headers tell size and channels; whatever a file contains, the answer is a header or an error that names it."""

import struct

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.data.headers import ImageHeader, is_rotated, read_header
from tuner.errors import DataError


@pytest.mark.parametrize(
    ("name", "channels", "expected"),
    [("a.png", 1, 1), ("a.png", 2, 1), ("a.png", 3, 3), ("a.png", 4, 3), ("a.jpg", 1, 1), ("a.JPEG", 3, 3)],
)
def test_header_agrees_with_the_image(name, channels, expected, draw, tmp_path):
    draw(tmp_path / name, size=(300, 17), channels=channels)
    assert read_header(tmp_path / name) == ImageHeader(300, 17, expected)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_with_long_metadata_is_read(progressive, tmp_path):
    pixels = tf.zeros((5, 9, 3), tf.uint8)
    jpeg = tf.io.encode_jpeg(pixels, progressive=progressive, xmp_metadata="x" * 5000).numpy()
    (tmp_path / "a.jpg").write_bytes(jpeg)
    assert read_header(tmp_path / "a.jpg") == ImageHeader(5, 9, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello", "neither a PNG nor a JPEG"),
        (b"GIF89a" + bytes(20), "neither a PNG nor a JPEG"),
        (b"\x89PNG\r\n\x1a\n\0\0", "broken"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "broken"),
        (b"\xff\xd8", "broken"),
        (b"\xff\xd8\xff\xe0\x00\x00" * 5, "broken"),
    ],
)
def test_other_content_is_refused_by_file_name(content, message, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.png .*{message}"):
        read_header(tmp_path / "a.png")


@pytest.mark.parametrize("components", [1, 3, 4])
def test_jpeg_of_four_colours_is_for_print(components, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xc0\x00\x14\x08\x00\x05\x00\x09" + bytes([components]))
    assert read_header(tmp_path / "a.jpg") == ImageHeader(5, 9, min(components, 3), is_cmyk=components == 4)


def test_missing_file_and_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match=f"{path} cannot be read"):
            read_header(path)


def _header_or_error(path):
    try:
        return read_header(path)
    except DataError as error:
        return error


@settings(deadline=None)  # the machine may be busy
@given(start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\xff"]), rest=st.binary(max_size=60))
def test_any_bytes_give_a_header_or_a_data_error(start, rest, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(start + rest)
    outcome = _header_or_error(path)
    assert "any.png" in str(outcome) if isinstance(outcome, DataError) else min(outcome.height, outcome.width) > 0


def _jpeg_with_orientation(value, order):
    tiff = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, 2)
    tiff += struct.pack(f"{order}HHII", 0x0100, 4, 1, 640) + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, value, 0)
    exif = b"Exif\0\0" + tiff
    jfif = b"\xff\xe0" + struct.pack(">H", 7) + b"JFIF\0"
    xmp = b"\xff\xe1" + struct.pack(">H", 6) + b"http"
    return b"\xff\xd8" + jfif + xmp + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b"\xff\xda"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("value", "expected"), [(1, False), (3, True), (6, True), (8, True), (0, False)])
def test_orientation_of_a_jpeg_is_known(value, expected, order, tmp_path):
    path = tmp_path / "0.jpg"
    path.write_bytes(_jpeg_with_orientation(value, order))
    assert is_rotated(path) == expected


@pytest.mark.parametrize("end", range(0, 60, 3))
def test_jpeg_that_ends_early_is_not_rotated(end, tmp_path):
    path = tmp_path / "0.jpg"
    path.write_bytes(_jpeg_with_orientation(6, "<")[:end])
    assert not is_rotated(path)


def test_file_without_orientation_is_not_rotated(tmp_path):
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert not any(is_rotated(tmp_path / name) for name in ("0.png", "absent.jpg", "."))
