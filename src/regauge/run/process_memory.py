"""The memory of this process, as the kernel counts it. Linux; elsewhere only the peak since the start is known."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

# of mallopt in <malloc.h> of the GNU C library
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = (1 << 31) - 1  # bytes, the largest that mallopt takes
_WORTH = 1 << 30  # bytes: a smaller process gives nothing back

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def resident_bytes() -> int | None:
    """Resident memory now, in bytes (VmRSS); None where the kernel does not tell."""
    return _status("VmRSS")


def reset_peak() -> bool:
    """Set the peak back to what is resident now; False where the kernel does not allow it.

    Writing 5 to clear_refs resets VmHWM: Linux, Documentation/filesystems/proc.rst.
    """
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")
        return True
    return False


def peak_bytes() -> int | None:
    """Peak resident memory since the start or the last `reset_peak`, in bytes.

    VmHWM rather than getrusage, whose maximum a child inherits from the process that started it.
    """
    peak = _status("VmHWM")
    if peak is not None or sys.platform == "win32":
        return peak
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _status(field: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


def reuse_freed() -> bool:
    """Keep freed memory for the next allocation: a training step then does not fetch each page of its gradients anew.

    `give_back` returns it. False where the C library has no such setting.
    """
    library = _gnu()
    if library is None:
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, _NEVER)) and bool(library.mallopt(_MMAP_THRESHOLD, _NEVER))


def give_back() -> None:
    """Return freed memory to the system, where this process is large enough for that to matter."""
    library = _gnu()
    if library is not None and (resident_bytes() or 0) > _WORTH:
        library.malloc_trim(0)


def _gnu() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
