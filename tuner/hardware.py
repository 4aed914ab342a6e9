"""What this machine has: cores, memory, graphics processors, fast bfloat16. Standard library only."""

from __future__ import annotations

import functools
import math
import os
import platform
import sys
from pathlib import Path

__all__ = [
    "available_cores",
    "available_memory",
    "gpu_environment",
    "gpus_of",
    "has_fast_bfloat16",
    "has_wide_vectors",
    "num_gpus",
    "processor_kind",
    "processor_name",
    "resident_memory",
    "total_memory_bytes",
]

_WORTHWHILE_PIXELS = 12 * 12  # of AMD's processors: a step on such images takes 0.84 to 1.01 of the time


def available_cores() -> int:
    """Returns how many processor cores this process may use, a container's limit included."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = [*_read("/sys/fs/cgroup/cpu.max").split(), "max", ""][:2]
    if quota.isdigit() and period.isdigit():
        cores = min(cores, -(-int(quota) // int(period)))
    return max(1, cores)


def available_memory() -> int:
    """Returns how many bytes of memory programs may still take, a container's limit included; 0 where unknown."""
    facts = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    free = int(facts.get("MemAvailable", "0 kB").split()[0]) * 1024
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return free


def total_memory_bytes() -> int:
    """Returns the bytes of this machine's memory, or of what a container may have of it."""
    total, limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), _read("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def num_gpus() -> int:
    """Returns the number of NVIDIA graphics processors that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = len(list(Path("/dev").glob("nvidia[0-9]*")))
    if visible is None:
        return there
    return min(there, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def gpus_of(worker: int, gpus_per_trial: float) -> str:
    """Returns the GPUs of one worker of several, as `CUDA_VISIBLE_DEVICES` takes them.

    Args:
        worker: Number of the worker, from 0; where there are more than GPUs for them, they begin anew.
        gpus_per_trial: Share of a GPU of each, in (0, 1], or how many each has.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = visible.split(",") if visible else [str(number) for number in range(num_gpus())]
    first, several = int(worker * gpus_per_trial), max(1, int(gpus_per_trial))
    return ",".join(devices[number % len(devices)] for number in range(first, first + several))


def gpu_environment(worker: int | None, gpus_per_trial: float | None) -> dict[str, str]:
    """Returns the variables with which a worker process takes its GPUs, and of their memory what it needs.

    Args:
        worker: Number of the worker; None leaves it those that it has, as on a cluster, which gives them itself.
        gpus_per_trial: As in `gpus_of`; None means none.
    """
    if not gpus_per_trial:
        return {}
    chosen = {} if worker is None else {"CUDA_VISIBLE_DEVICES": gpus_of(worker, gpus_per_trial)}
    return {"TF_FORCE_GPU_ALLOW_GROWTH": "true", **chosen}


def has_fast_bfloat16(size: tuple[int, int] | None = None) -> bool:
    """Whether training in bfloat16 is faster: on a GPU, with AMX, and with AVX512-BF16 on a processor of AMD's.

    With the last not on images of a few pixels: on 8x8 a search takes 1.1 to 1.2 times as long. Intel's AVX512-BF16
    without AMX, as in a virtual machine that hides AMX, trains at 0.71 of float32's speed (benchmarks/README.md).

    Args:
        size: Height and width of the images in pixels; None, which is not known, is taken for many pixels.
    """
    facts = _read("/proc/cpuinfo")
    is_small = size is not None and math.prod(size) < _WORTHWHILE_PIXELS
    with_vectors = "avx512_bf16" in facts and "AuthenticAMD" in facts and not is_small
    return num_gpus() > 0 or "amx_bf16" in facts or with_vectors


@functools.cache
def has_wide_vectors() -> bool:
    """Whether the processor computes with vectors of 512 bits."""
    return "avx512f" in _read("/proc/cpuinfo")


def processor_name() -> str:
    """Returns the processor's name, such as "Intel(R) Xeon(R) Platinum 8481C"; its kind where no name can be read."""
    return _processor_facts().get("model name", platform.machine())


def processor_kind() -> str:
    """Returns the name with family and model as Linux numbers them: virtual machines have names that tell little."""
    facts = _processor_facts()
    numbers = (f"{name} {facts[name]}" for name in ("cpu family", "model") if name in facts)
    return ", ".join([processor_name(), *numbers])


def resident_memory() -> int:
    """Returns the bytes of memory that this process holds; 0 where that cannot be read."""
    if sys.platform != "linux":
        return 0
    return int(_read("/proc/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _processor_facts() -> dict[str, str]:
    """Returns what Linux says of processors, each fact as the first that has it does."""
    lines = (line.partition(":") for line in reversed(_read("/proc/cpuinfo").splitlines()))
    return {name.strip(): value.strip() for name, _, value in lines}


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
