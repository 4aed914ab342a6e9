"""Times and sizes are read as people write them, and what is none is refused by its text."""

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.quantities import (
    byte_size,
    count,
    counted,
    describe_bytes,
    describe_cost,
    describe_seconds,
    duration,
    gpus,
    milliseconds,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("1h30m", 5400),
        ("1H30M", 5400),
        ("2d", 172_800),
        ("1d2h3m4s", 93_784),
        ("0.5h", 1800),
        ("1h30", 3630),
    ],
)
def test_duration_is_read_in_any_unit(text, seconds):
    assert duration(text) == seconds


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_parts_of_a_duration_add_up(days, hours, minutes, seconds):
    expected = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert duration(f"{days}d{hours}h{minutes}m{seconds}s") == expected


@pytest.mark.parametrize(
    "text", ["", "0", "0h", "-5", "5x", "h", "1h-30m", "1 h", "1:30", "1.m", ".5h", "nan", "inf", "٣m", "9" * 400]
)
def test_text_that_is_no_duration_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no time; write 90s, 30m, 1h30m or 2d") as refused:
        duration(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("500M", 500_000_000), ("2G", 2 * 10**9), ("1.5GB", 15 * 10**8), ("3k", 3000), ("12", 12), ("1t", 10**12)],
)
def test_size_is_read_in_any_unit(text, size):
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0G", "-1M", "5X", "G", "1 G", "1,5G", "nan", "0.1", "٣G", "9" * 400])
def test_text_that_is_no_size_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no size; write 500M or 2G") as refused:
        byte_size(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "number"), [("500", 500), ("163k", 163_000), ("1.5M", 1_500_000), ("2g", 2 * 10**9), ("0.1k", 100)]
)
def test_number_of_things_is_read_in_any_unit(text, number):
    assert count(text) == number


@pytest.mark.parametrize("text", ["", "0", "0M", "0.5", "-1", "1MB", "M", "1,5M", "nan", "٣M", "9" * 400])
def test_text_that_is_no_number_of_things_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is no number of things; write 500, 163k or 1\.5M"):
        count(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "nan", "inf", "5ms"])
def test_text_that_is_no_time_in_milliseconds_is_refused(text):
    assert milliseconds("2.5") == 2.5
    with pytest.raises(argparse.ArgumentTypeError, match="is no time in milliseconds"):
        milliseconds(text)


@given(st.floats(1e-3, 1e6), st.integers(1, 10**12))
def test_exact_cost_is_a_limit_that_admits_it(latency, params):
    assert milliseconds(describe_cost(latency, "latency", exact=True).split()[0]) >= latency
    assert count(describe_cost(params, "params", exact=True).split()[0]) == params


@pytest.mark.parametrize(
    ("number", "name", "text"),
    [
        (999, "params", "999 params"),
        (18_234, "macs", "18.2k macs"),
        (999_400, "params", "999k params"),
        (999_600, "params", "1M params"),
        (999_999_999, "macs", "1G macs"),
        (3.9e9, "macs", "3.9G macs"),
        (0.5, "latency", "0.5 ms"),
    ],
)
def test_cost_is_short(number, name, text):
    assert describe_cost(number, name) == text


@pytest.mark.parametrize(("text", "number"), [("0.5", 0.5), ("1", 1.0), ("1e-3", 0.001), ("2", 2.0), ("8.0", 8.0)])
def test_gpus_are_a_share_or_a_whole_number(text, number):
    assert gpus(text) == number


@pytest.mark.parametrize("text", ["", "0", "1.01", "2.5", "-0.5", "-2", "half", "nan", "inf", "50%"])
def test_text_that_is_no_share_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no share") as refused:
        gpus(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min"), (7200, "2 h"), (90_000, "25 h")]
)
def test_durations_have_the_unit_a_person_would_use(seconds, text):
    assert describe_seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (65_520, "66 kB"),
        (999_600, "1 MB"),
        (999_600_000, "1.0 GB"),
        (12_345_678, "12 MB"),
        (1_250_000_000, "1.2 GB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_sizes_have_the_unit_a_person_would_use(size, text):
    assert describe_bytes(size) == text


@pytest.mark.parametrize(
    ("number", "forms", "text"),
    [
        (0, ["epoch"], "0 epochs"),
        (1, ["epoch"], "1 epoch"),
        (2, ["epoch"], "2 epochs"),
        (1, ["trial is", "trials are"], "1 trial is"),
        (3, ["trial is", "trials are"], "3 trials are"),
    ],
)
def test_one_thing_is_told_as_one(number, forms, text):
    assert counted(number, *forms) == text
