"""A state on disk is whole or absent, and comes back bit for bit."""

import dataclasses
import json
import threading
import types

import numpy as np
import pytest
from samples import a_record

from tuner.checkpoint import (
    SECONDS_BETWEEN_LOOKS,
    CheckpointFolder,
    CheckpointWriter,
    TrainingState,
    load_state,
    save_state,
)
from tuner.errors import TunerError
from tuner.records import DIVERGED, RUNNING

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


@pytest.mark.parametrize("where", ["directory", pytest.param("file", marks=pytest.mark.slow)])
def test_one_flipped_bit_leaves_the_state_or_none(where, path):
    """In the archive's directory a bit may hide an array, or make one look encrypted; before it, cut one short."""
    state = TrainingState(3, 5, [np.arange(9, dtype=np.float32)], [np.array(7)], {"loss": [0.5]})
    save_state(path, state)
    whole = path.read_bytes()
    for place in range(whole.index(b"PK\x01\x02") if where == "directory" else 0, len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            path.write_bytes(data)
            again = load_state(path)
            assert again is None or (
                dataclasses.replace(again, weights=[], optimizer=[])
                == dataclasses.replace(state, weights=[], optimizer=[])
                and _bits([*again.weights, *again.optimizer]) == _bits([*state.weights, *state.optimizer])
            ), f"bit {bit} of byte {place}"


def test_file_of_before_that_does_not_say_what_it_holds_is_read(path):
    path.parent.mkdir()
    facts = json.dumps({"curve": {"epoch": [1]}, "epoch": 1, "seed": 5})
    np.savez(path, **{"weights/0000": np.arange(3), "optimizer/0000": np.array(7), "facts": np.array(facts)})
    state = load_state(path)
    assert (state.epoch, state.seed, state.parts, state.seconds, state.ended) == (1, 5, 1, 0.0, False)
    assert _bits([*state.weights, *state.optimizer]) == _bits([np.arange(3), np.array(7)])


def test_file_that_comes_late_is_waited_for(path):
    timer = threading.Timer(0.1, save_state, (path, STATE))
    timer.start()
    assert load_state(path, patience=30.0).epoch == 3
    timer.join()


def test_file_that_never_comes_is_waited_for_no_longer_than_asked(path, monkeypatch):
    now = [1000.0]
    clock = {"monotonic": lambda: now[0], "sleep": lambda seconds: now.__setitem__(0, now[0] + seconds)}
    monkeypatch.setattr("tuner.checkpoint.time", types.SimpleNamespace(**clock))
    assert load_state(path, patience=20.0) is None
    assert 1020.0 <= now[0] <= 1020.0 + SECONDS_BETWEEN_LOOKS
    assert load_state(path) is None
    assert now[0] <= 1020.0 + SECONDS_BETWEEN_LOOKS


@pytest.mark.parametrize("ended", [False, True])
def test_state_says_whether_the_trial_has_ended_with_it(ended, path):
    save_state(path, dataclasses.replace(STATE, ended=ended))
    assert load_state(path).ended == ended


@pytest.fixture
def writer():
    return CheckpointWriter()


def test_writer_does_not_wait_for_the_disk(writer, path):
    gate = threading.Event()

    def state():
        assert gate.wait(30)
        return STATE

    curve = {"epoch": [1]}
    writer.save(str(path), state, curve)
    curve["epoch"].append(2)  # the trial goes on
    assert not path.exists()
    gate.set()
    writer.flush()
    assert dict(load_state(path).curve) == {"epoch": [1]}


def test_writer_writes_in_order(writer, path):
    for epoch in range(5):
        writer.save(str(path), lambda epoch=epoch: dataclasses.replace(STATE, epoch=epoch), {})
    writer.flush()
    assert load_state(path).epoch == 4


def test_writer_writes_that_the_trial_has_ended(writer, path):
    writer.save(str(path), lambda: STATE, {}, ended=True)
    writer.flush()
    assert load_state(path).ended


def test_state_takes_the_place_of_the_one_that_it_continues(writer, path):
    parent = path.with_name("trial00000.npz")
    save_state(parent, STATE)
    writer.save(str(path), lambda: STATE, {}, instead_of=str(parent))
    writer.save(str(path), lambda: STATE, {}, instead_of=str(parent))  # it is gone by then
    writer.flush()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_state_stays_where_the_next_cannot_be_written(writer, path, tmp_path):
    save_state(path, STATE)
    (tmp_path / "file").touch()
    writer.save(str(tmp_path / "file" / "state.npz"), lambda: STATE, {}, instead_of=str(path))
    with pytest.raises(TunerError, match="cannot be written"):
        writer.flush()
    assert load_state(path).epoch == 3


@pytest.mark.parametrize("next_call", ["flush", "save"])
def test_state_that_cannot_be_written_is_told_at_the_next_call_and_once(next_call, writer, tmp_path):
    (tmp_path / "file").touch()
    broken = str(tmp_path / "file" / "state.npz")
    writer.save(broken, lambda: STATE, {})
    writer._thread.submit(lambda: None).result()  # it has failed by now
    calls = {"flush": writer.flush, "save": lambda: writer.save(str(tmp_path / "good.npz"), lambda: STATE, {})}
    with pytest.raises(TunerError, match=r"cannot be written.*--results-dir") as refused:
        calls[next_call]()
    assert broken in str(refused.value)
    calls[next_call]()
    writer.flush()


RECORD = a_record()


@pytest.mark.parametrize(
    ("changes", "epoch"),
    [({}, 3), ({"ended": True}, 9), ({"seed": 8}, 1), ({"epoch": 1}, 1), ({"epoch": 9}, 9), ({"epoch": 10}, 1)],
)
def test_trial_goes_on_from_its_own_state(changes, epoch, tmp_path):
    record = dataclasses.replace(RECORD, initial_epoch=1, epochs=9, seed=STATE.seed, status=RUNNING)
    folder = CheckpointFolder(tmp_path)
    assert folder.epoch(record) == 1
    save_state(folder.path(record.trial), dataclasses.replace(STATE, **changes))
    assert folder.epoch(record) == epoch


def _held(*scores, **changes):
    return [dataclasses.replace(RECORD, trial=n, score=score, **changes) for n, score in enumerate(scores)]


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of 100 bytes for each of six trials."""
    for trial in range(6):
        (tmp_path / f"trial{trial:05d}.npz").write_bytes(b"x" * 100)
    return tmp_path


def _left(folder):
    return sorted(int(path.stem[-5:]) for path in folder.iterdir())


def _after(folder, record, held, *, limit=None, direction="max"):
    CheckpointFolder(folder, limit).after(record, held, max_epochs=9, direction=direction)
    return _left(folder)


def test_what_a_killed_worker_left_is_removed(folder):
    (folder / "trial00003.4711.tmp").write_bytes(b"x" * 50)
    CheckpointFolder(folder)
    assert _left(folder) == [0, 1, 2, 3, 4, 5]


def test_write_that_was_killed_in_its_middle_leaves_nothing_for_the_next_search(path, monkeypatch):
    save_state(path, STATE)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # it has no time to clear up
    monkeypatch.setattr(np, "savez", lambda file, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_state(path, STATE)
    monkeypatch.undo()
    assert len([*path.parent.iterdir()]) == 2
    CheckpointFolder(path.parent)
    assert [*path.parent.iterdir()] == [path]


def test_state_of_a_trial_that_may_go_on_stays(folder):
    held = _held(0.5, 0.6)
    assert _after(folder, held[1], held) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("changes", [{"epochs": 9}, {"epochs": 5, "target": 9}, {"status": DIVERGED}])
def test_state_that_nothing_continues_is_removed(changes, folder):
    record = dataclasses.replace(RECORD, trial=2, **changes)
    assert _after(folder, record, [record]) == [0, 1, 3, 4, 5]


def test_state_of_the_parent_is_removed(folder):
    record = dataclasses.replace(RECORD, trial=4, parent=1, epochs=3)
    assert _after(folder, record, [record]) == [0, 2, 3, 4, 5]


def test_states_that_are_gone_already_are_no_error(folder):
    record = dataclasses.replace(RECORD, trial=40, parent=30, epochs=9)
    assert _after(folder, record, [record]) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("direction", "left"), [("max", [1, 3, 5]), ("min", [0, 2, 4])])
def test_worst_states_go_first_where_there_is_no_room(direction, left, folder):
    held = _held(0.1, 0.9, 0.3, 0.8, 0.2, 0.7)
    assert _after(folder, held[5], held, limit=399, direction=direction) == left


def test_folder_that_just_fits_is_left_alone(folder):
    held = _held(0.1, 0.9, 0.3, 0.8, 0.2, 0.7)
    assert _after(folder, held[5], held, limit=600) == [0, 1, 2, 3, 4, 5]


def test_states_in_use_stay_although_there_is_no_room(folder):
    held = _held(0.1, 0.2, 0.3, 0.4, None, 0.6)
    held[4] = dataclasses.replace(held[4], status=RUNNING, parent=0)
    assert _after(folder, held[5], held, limit=1) == [0, 4]


def test_room_is_kept_for_what_running_trials_are_going_to_write(folder):
    """One as large as the largest that was seen, for each that has no file yet and whose state will be kept."""
    (folder / "trial00000.npz").write_bytes(b"x" * 200)
    held = _held(0.9, 0.1, 0.8, 0.2, 0.7, 0.6)
    running = [dataclasses.replace(RECORD, trial=trial, status=RUNNING) for trial in (6, 7)]
    whole = dataclasses.replace(RECORD, trial=8, status=RUNNING, epochs=9)
    assert _after(folder, held[5], [*held, whole], limit=700) == [0, 1, 2, 3, 4, 5]
    assert _after(folder, held[5], [*held, whole, *running], limit=700) == [0, 2]


def test_room_is_kept_for_the_state_of_a_trial_that_ended_until_it_is_there(folder):
    (folder / "trial00005.npz").unlink()
    held = _held(0.9, 0.1, 0.8, 0.2, 0.7, 0.6)
    checkpoints = CheckpointFolder(folder, 500)
    checkpoints.after(dataclasses.replace(held[5], worker="0"), held, max_epochs=9, direction="max")
    assert _left(folder) == [0, 2, 3, 4]
    checkpoints.after(dataclasses.replace(held[4], worker="1"), held, max_epochs=9, direction="max")
    assert _left(folder) == [0, 2, 3, 4]
    (folder / "trial00005.npz").write_bytes(b"x" * 100)
    checkpoints.after(dataclasses.replace(held[4], worker="1"), held, max_epochs=9, direction="max")
    assert _left(folder) == [0, 2, 3, 4, 5]


def test_no_room_is_kept_for_ever_for_a_state_that_never_comes(folder):
    (folder / "trial00005.npz").unlink()
    held = _held(0.9, 0.1, 0.8, 0.2, 0.7, 0.6)
    checkpoints = CheckpointFolder(folder, 500)
    checkpoints.after(dataclasses.replace(held[5], worker="0"), held, max_epochs=9, direction="max")
    (folder / "trial00001.npz").write_bytes(b"x" * 100)
    checkpoints.after(dataclasses.replace(held[4], worker="0"), held, max_epochs=9, direction="max")
    assert _left(folder) == [0, 1, 2, 3, 4]


def test_file_that_a_worker_removes_meanwhile_is_no_error(folder, monkeypatch):
    held = _held(0.1, 0.9, 0.3, 0.8, 0.2, 0.7)
    (folder / "trial00002.npz").unlink()
    checkpoints = CheckpointFolder(folder, 300)
    monkeypatch.setattr(type(folder), "glob", lambda self, pattern: [self / f"trial{n:05d}.npz" for n in range(6)])
    checkpoints.after(held[5], held, max_epochs=9, direction="max")
    assert _left(folder) == [1, 3, 5]
