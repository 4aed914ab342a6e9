"""What a machine has is read from its files; what cannot be read is unknown and no error."""

import os
import platform
import sys

import pytest

from tuner import hardware

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


@pytest.fixture
def files(monkeypatch):
    """The files of a machine, by path; all others are absent."""
    files = {}
    monkeypatch.setattr(hardware, "_read", lambda path: files.get(path, ""))
    return files


@pytest.fixture
def affinity(monkeypatch):
    """Makes eight cores of this machine's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.usefixtures("affinity")
@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("", 8),
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("10000 100000", 1),
        ("9900000 100000", 8),
        ("odd", 8),
    ],
)
def test_cores_are_those_of_the_process_and_of_its_container(limit, cores, files):
    files["/sys/fs/cgroup/cpu.max"] = limit
    assert hardware.available_cores() == cores


def test_cores_of_a_system_without_affinity_are_all(files, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert hardware.available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert hardware.available_cores() == 1


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [
        ("", "", 8_192_000_000),
        ("max", "5", 8_192_000_000),
        ("3000000000\n", "1000000000\n", 2_000_000_000),
        ("99000000000", "1000000000", 8_192_000_000),
    ],
)
def test_memory_is_what_programs_may_take_and_what_the_container_leaves(limit, used, left, files):
    files |= {"/proc/meminfo": MEMINFO, "/sys/fs/cgroup/memory.max": limit, "/sys/fs/cgroup/memory.current": used}
    assert hardware.available_memory() == left


@pytest.mark.parametrize(("limit", "total"), [("", 4096 * 2**20), ("max\n", 4096 * 2**20), ("3000000\n", 3_000_000)])
def test_all_memory_is_that_of_the_machine_or_of_its_container(limit, total, files, monkeypatch):
    files["/sys/fs/cgroup/memory.max"] = limit
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}.__getitem__)
    assert hardware.total_memory_bytes() == total


@pytest.mark.usefixtures("files")
def test_memory_that_cannot_be_read_is_unknown():
    assert hardware.available_memory() == 0


@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, 3), ("0,2", 2), ("0", 1), ("", 0), ("-1", 0), (" ", 0), ("0,1,2,3,4", 3)]
)
def test_gpus_are_those_that_are_visible(visible, gpus, monkeypatch):
    monkeypatch.setattr(hardware.Path, "glob", lambda folder, pattern: iter(["nvidia0", "nvidia1", "nvidia2"]))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert hardware.num_gpus() == gpus


@pytest.mark.parametrize(
    ("gpus", "flags", "fast"),
    [
        (0, "fpu sse avx512f avx512_vnni", False),
        (0, "GenuineIntel fpu sse avx512_bf16", False),
        (0, "AuthenticAMD fpu sse avx512_bf16", True),
        (0, "fpu amx_bf16 amx_tile", True),
        (1, "fpu", True),
        (0, "", False),
    ],
)
def test_bfloat16_is_fast_where_there_is_hardware_for_it(gpus, flags, fast, files, monkeypatch):
    monkeypatch.setattr(hardware, "num_gpus", lambda: gpus)
    files["/proc/cpuinfo"] = f"processor\t: 0\nflags\t\t: {flags}\n"
    assert hardware.has_fast_bfloat16() is fast
    assert hardware.has_fast_bfloat16((28, 28)) is fast


@pytest.mark.parametrize(
    ("flags", "size", "fast"),
    [
        ("AuthenticAMD avx512_bf16", (8, 8), False),
        ("AuthenticAMD avx512_bf16", (11, 13), False),
        ("AuthenticAMD avx512_bf16", (12, 12), True),
        ("GenuineIntel amx_bf16", (8, 8), True),
    ],
)
def test_vectors_alone_make_small_images_no_faster_in_bfloat16(flags, size, fast, files, monkeypatch):
    monkeypatch.setattr(hardware, "num_gpus", lambda: 0)
    files["/proc/cpuinfo"] = f"processor\t: 0\nflags\t\t: {flags}\n"
    assert hardware.has_fast_bfloat16(size) is fast


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_memory_of_this_process_grows_with_what_it_holds():
    before = hardware.resident_memory()
    held = bytearray(os.urandom(1)) * 200_000_000
    assert 150_000_000 < hardware.resident_memory() - before < 400_000_000
    assert len(held) == 200_000_000


def test_memory_that_a_system_does_not_tell_is_0(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert hardware.resident_memory() == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Some CPU @ 2 GHz\n", "Some CPU @ 2 GHz")],
)
def test_processor_is_named_by_the_system(text, name, files):
    files["/proc/cpuinfo"] = text
    assert hardware.processor_name() == name


def test_kind_of_a_processor_has_the_numbers_that_linux_gives_it(files):
    files["/proc/cpuinfo"] = "model name\t: Some CPU\ncpu family\t: 6\nmodel\t\t: 207\n\nmodel\t\t: 1\n"
    assert hardware.processor_kind() == "Some CPU, cpu family 6, model 207"
    files["/proc/cpuinfo"] = ""
    assert hardware.processor_kind() == platform.machine()


def test_processor_without_a_name_is_of_a_kind(files):
    assert hardware.processor_name() == platform.machine()


@pytest.mark.parametrize(
    ("share", "devices"),
    [
        (1.0, ["3", "5", "6", "7", "3"]),
        (0.5, ["3", "3", "5", "5", "6"]),
        (2.0, ["3,5", "6,7", "3,5", "6,7", "3,5"]),
        (4.0, ["3,5,6,7"] * 5),
    ],
)
def test_each_worker_has_its_gpus(share, devices, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    assert [hardware.gpus_of(worker, share) for worker in range(5)] == devices
    for worker, chosen in enumerate(devices):
        assert hardware.gpu_environment(worker, share)["CUDA_VISIBLE_DEVICES"] == chosen
    assert "CUDA_VISIBLE_DEVICES" not in hardware.gpu_environment(None, share)
    assert hardware.gpu_environment(0, None) == {}
