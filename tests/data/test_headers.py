"""Headers tell size and channels; whatever a file contains, the answer is a header or an error that names it."""

import struct

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.data.headers import ImageHeader, read_header
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
        (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x00\x00\x09\x03", "broken"),  # no height
        (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x05\x00\x00\x03", "broken"),  # no width
        (b"\xff\xd8\x00\xc0\x00\x11\x08\x00\x05\x00\x09\x03", "broken"),  # no marker before the frame
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


def _exif(value, *, order="<", kind=3):
    tiff = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, 2)
    number = struct.pack(f"{order}{'HH' if kind == 3 else 'I'}", *([value, 0] if kind == 3 else [value]))
    return tiff + struct.pack(f"{order}HHII", 0x0100, 4, 1, 640) + struct.pack(f"{order}HHI", 0x0112, kind, 1) + number


def _segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _jpeg(*exif):
    """A header of 5x9 pixels with metadata of other kinds around the EXIF data."""
    segments = [_segment(0xE0, b"JFIF\0"), _segment(0xE1, b"http"), *(_segment(0xE1, b"Exif\0\0" + e) for e in exif)]
    return b"".join([b"\xff\xd8", *segments, _segment(0xC0, b"\x08\x00\x05\x00\x09\x03"), b"\xff\xda"])


def _png(*chunks):
    header = b"IHDR", struct.pack(">IIBBBBB", 9, 5, 8, 2, 0, 0, 0)
    chunks = [header, (b"gAMA", bytes(4)), *chunks, (b"IDAT", b"x" * 99), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + bytes(4) for name, content in chunks
    )


@pytest.mark.parametrize(
    "make", [_jpeg, lambda exif: _png((b"eXIf", exif)), lambda exif: _png((b"eXIf", b"Exif\0\0" + exif))]
)
@pytest.mark.parametrize(("order", "kind"), [("<", 3), (">", 3), ("<", 4), (">", 4)])
@pytest.mark.parametrize("value", range(10))
def test_orientation_is_known_and_the_size_that_of_the_upright_image(value, order, kind, make, tmp_path):
    (tmp_path / "0.jpg").write_bytes(make(_exif(value, order=order, kind=kind)))
    sides = (9, 5) if 5 <= value <= 8 else (5, 9)
    expected = ImageHeader(*sides, 3, orientation=value if 1 <= value <= 8 else 1)
    assert read_header(tmp_path / "0.jpg") == expected


@pytest.mark.parametrize("make", [_jpeg, lambda exif: _png((b"eXIf", exif))])
@pytest.mark.parametrize("exif", [_exif(6)[:end] for end in range(0, 32, 3)] + [b"II" + b"\xff" * 60, _exif(6, kind=2)])
def test_broken_exif_data_says_nothing_of_the_image(exif, make, tmp_path):
    (tmp_path / "0.jpg").write_bytes(make(exif))
    assert read_header(tmp_path / "0.jpg") == ImageHeader(5, 9, 3)


def test_first_exif_data_counts_and_none_behind_the_pixels(tmp_path):
    (tmp_path / "0.jpg").write_bytes(_jpeg(_exif(6), _exif(3)))
    assert read_header(tmp_path / "0.jpg").orientation == 6
    (tmp_path / "0.png").write_bytes(_png() + _png((b"eXIf", _exif(6))))
    assert read_header(tmp_path / "0.png").orientation == 1


@pytest.mark.parametrize("end", range(26, 70, 4))
def test_png_that_ends_behind_its_header_has_a_header(end, tmp_path):
    (tmp_path / "0.png").write_bytes(_png((b"eXIf", _exif(6)))[:end])
    assert read_header(tmp_path / "0.png") == ImageHeader(5, 9, 3)
