"""A latency is measured once for an architecture, and a broken file costs nothing but time."""

import dataclasses
import sqlite3
import time

import pytest

from tuner import latency
from tuner.models import ModelConfig

CONFIG = ModelConfig(input_shape=(8, 8, 1), classes=3, blocks=(1,), width=4, se_ratio=2, stem="small")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(latency, "SECONDS", 0.01)


@pytest.fixture
def measured(monkeypatch):
    """The configurations and batches that were measured; each takes a millisecond more than the one before."""
    calls = []

    def measure(config, *, batch=1):
        calls.append((config, batch))
        return float(len(calls))

    monkeypatch.setattr(latency, "measure", measure)
    return calls


def test_larger_batch_of_a_larger_network_takes_longer():
    # 64 times the images and 50 times the multiply-accumulates: no load on the machine hides that.
    wide = dataclasses.replace(CONFIG, width=32, input_shape=(32, 32, 1))
    assert 0 < latency.latency_ms(CONFIG) < latency.latency_ms(wide, batch=64)


def test_architecture_is_measured_once_for_each_batch(measured):
    assert [latency.latency_ms(CONFIG, batch=batch) for batch in (1, 64, 1, 64)] == [1.0, 2.0, 1.0, 2.0]
    assert measured == [(CONFIG, 1), (CONFIG, 64)]


def test_what_another_search_has_measured_meanwhile_counts(monkeypatch):
    def measure(config, *, batch=1):
        monkeypatch.setattr(latency, "measure", lambda config, *, batch=1: 1.9)
        assert latency.latency_ms(config, batch=batch) == 1.9  # the other one
        return 2.1

    monkeypatch.setattr(latency, "measure", measure)
    assert latency.latency_ms(CONFIG) == 1.9


def test_what_changes_no_operation_is_not_measured_again(measured):
    normalizing = dataclasses.replace(CONFIG, mean=(1.0,), variance=(2.0,))
    for config in (normalizing, dataclasses.replace(normalizing, mean=(3.0,), norm_momentum=0.5, dropout=0.1)):
        assert latency.latency_ms(config) == 1.0
    assert latency.latency_ms(CONFIG) == 2.0  # without the layer that normalises


def test_network_of_groups_has_a_latency():
    grouped = dataclasses.replace(CONFIG, block="bottleneck", cardinality=2, se_position="post")
    assert latency.latency_ms(grouped) > 0


def test_another_machine_measures_for_itself(measured, monkeypatch):
    latency.latency_ms(CONFIG)
    monkeypatch.setattr(latency, "processor_name", lambda: "another")
    assert latency.latency_ms(CONFIG) == 2.0


def test_file_that_is_no_database_is_no_error(measured):
    latency.latency_file().parent.mkdir()
    latency.latency_file().write_text("not SQLite" * 200)
    assert [latency.latency_ms(CONFIG), latency.latency_ms(CONFIG)] == [1.0, 2.0]


def test_folder_that_cannot_be_made_is_no_error(measured, tmp_path):
    (tmp_path / "se-tuner").write_text("a file")
    assert latency.latency_ms(CONFIG) == 1.0


def test_file_is_readable_sql(measured):
    latency.latency_ms(CONFIG, batch=64)
    with sqlite3.connect(latency.latency_file()) as connection:
        ((architecture, batch, machine, milliseconds),) = connection.execute("SELECT * FROM latency")
    connection.close()
    assert '"width": 4' in architecture
    assert (batch, milliseconds) == (64, 1.0)
    assert "TensorFlow" in machine


def test_fastest_call_counts(monkeypatch):
    pauses = iter([0.0, 0.0, 0.0, 0.09, 0.03, 0.06])  # three calls to warm up, three that count
    monkeypatch.setattr(latency, "_compiled", lambda config, batch: lambda: time.sleep(next(pauses)))
    assert 30.0 <= latency.measure(CONFIG) < 90.0


@pytest.mark.parametrize("batch", [0, -1])
@pytest.mark.parametrize("function", [latency.latency_ms, latency.measure])
def test_batch_without_an_image_is_refused(function, batch):
    with pytest.raises(ValueError, match="allowed is a whole number >= 1"):
        function(CONFIG, batch=batch)
