"""The machine: its fingerprint, what is recorded before each launch, and the variables that workers start with."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("torch", "jax", "jaxlib", "flax", "optax", "numpy", "regauge")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")
_CACHES = {
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "JAX_COMPILATION_CACHE_DIR": "jax",
    "CUDA_CACHE_PATH": "cuda",
}


def fingerprint() -> dict[str, Any]:
    """What must be equal for two launches to be comparable: processor, memory, system, versions."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(available_cpus()),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiler": shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def available_cpus() -> list[int]:
    """The CPUs that this process may run on, one of every core before the second hardware thread of any."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    cpus = sorted(os.sched_getaffinity(0))
    seen: dict[str, int] = {}
    rank = {}
    for cpu in cpus:
        core = _core(cpu)
        rank[cpu] = seen[core] = seen.get(core, -1) + 1
    return sorted(cpus, key=lambda cpu: (rank[cpu], cpu))


def _core(cpu: int) -> str:
    topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    try:
        return "-".join((topology / name).read_text().strip() for name in ("physical_package_id", "core_id"))
    except OSError:
        return str(cpu)


@contextlib.contextmanager
def on_cpus(count: int) -> Iterator[list[int]]:
    """Within the block this thread, and every process that it starts, runs on `count` CPUs only.

    XLA's thread pool on the CPU follows the affinity; it does not read OMP_NUM_THREADS.
    """
    chosen = available_cpus()[:count]
    if not hasattr(os, "sched_setaffinity"):
        yield chosen
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, before)


def cache_directories(caches: Path) -> list[Path]:
    """Where the workers of both frameworks keep what they compiled."""
    return [caches / directory for directory in _CACHES.values()]


def worker_variables(threads: int, caches: Path, source: random.Random) -> dict[str, str]:
    """Environment variables of one worker.

    Args:
        threads: of every thread pool.
        caches: directory of the compilation caches of both frameworks; an empty one makes a cold start.
        source: draws the hash seed and the padding, so that memory layout is not the same by accident in every launch
            (Mytkowicz et al., ASPLOS 2009).
    """
    variables = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    variables |= {name: str(caches / directory) for name, directory in _CACHES.items()}
    return variables | {
        # without these two JAX keeps no program that compiled in under a second
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TORCHINDUCTOR_COMPILE_THREADS": str(threads),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONHASHSEED": str(source.randrange(2**32)),
        "REGAUGE_PADDING": "x" * source.randrange(4096),
    }


def context() -> dict[str, Any]:
    """What is recorded before a launch and never gated on: CPUs and load, stolen time so far, free memory."""
    steal = getattr(psutil.cpu_times(), "steal", 0.0)
    return {
        "cpus": psutil.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "steal_seconds": steal,
        "memory_available": psutil.virtual_memory().available,
    }
