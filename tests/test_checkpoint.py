"""A state on disk is whole or absent, and comes back bit for bit."""

import numpy as np
import pytest

from tuner.checkpoint import TrainingState, load_state, save_state

RANDOM = np.random.default_rng(0)
STATE = TrainingState(
    epoch=3,
    seed=2**31 - 1,
    weights=[RANDOM.normal(size=(3, 3, 1, 4)).astype(np.float32), np.array([np.nan, np.inf, -0.0], np.float32)],
    optimizer=[np.array(69, np.int64), np.float32(0.1), *RANDOM.normal(size=(12, 2)).astype(np.float32)],
    curve={"epoch": [1, 2, 3], "loss": [2.0, 0.1, 1 / 3]},
)


def _bits(arrays):
    return [(np.asarray(array).dtype.str, np.shape(array), np.asarray(array).tobytes()) for array in arrays]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "trial00001.npz"


def test_state_comes_back_bit_for_bit(path):
    save_state(path, STATE)
    again = load_state(path)
    assert (again.epoch, again.seed, dict(again.curve)) == (STATE.epoch, STATE.seed, STATE.curve)
    assert _bits(again.weights) == _bits(STATE.weights)
    assert _bits(again.optimizer) == _bits(STATE.optimizer)


def test_order_of_many_variables_is_kept(path):
    many = [np.array([number]) for number in range(1200)]
    save_state(path, TrainingState(1, 0, many, list(reversed(many))))
    again = load_state(path)
    assert [int(array[0]) for array in again.weights] == list(range(1200))
    assert [int(array[0]) for array in again.optimizer] == list(reversed(range(1200)))


def test_absent_file_is_no_state(path):
    assert load_state(path) is None


def test_file_cut_short_anywhere_is_no_state(path):
    save_state(path, STATE)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert load_state(path) is None, f"{length} of {len(whole)} bytes"


@pytest.mark.parametrize("text", [b"", b"no archive", b"PK\x03\x04 torn"])
def test_file_of_another_kind_is_no_state(text, path):
    path.parent.mkdir()
    path.write_bytes(text)
    assert load_state(path) is None


def test_archive_of_another_program_is_no_state(path):
    path.parent.mkdir()
    np.savez(path, other=np.zeros(3))
    assert load_state(path) is None


def test_interrupted_write_keeps_the_old_state(path, monkeypatch):
    save_state(path, STATE)

    def fail(file, **arrays):
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(KeyboardInterrupt):
        save_state(path, TrainingState(9, 1, [], []))
    assert load_state(path).epoch == 3


def test_write_replaces_the_file_and_leaves_nothing_else(path):
    for epoch in (1, 2):
        save_state(path, TrainingState(epoch, 0, [], []))
    assert load_state(path).epoch == 2
    assert [file.name for file in path.parent.iterdir()] == ["trial00001.npz"]


@pytest.mark.parametrize("flip", range(0, 400, 7))
def test_damaged_checkpoint_is_the_state_or_none(flip, path):
    save_state(path, STATE)
    data = bytearray(path.read_bytes())
    data[-1 - flip] ^= 0xFF
    path.write_bytes(data)
    state = load_state(path)
    assert state is None or (state.epoch, state.seed) == (STATE.epoch, STATE.seed)
