"""The output directory: found bad before work starts, and named when it fails later."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regauge.errors import OutputError, RegaugeError, WorkerFailed

# A run's own files (JSON, logs, report) fit into this; below it the disk counts as full. Bytes.
LEAST_FREE = 4 * 1024 * 1024

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


def prepare_output(directory: Path) -> Path:
    """Create the directory and prove that files can be written there.

    Returns:
        The directory as an absolute path.

    Raises:
        OutputError: it cannot be created or written, or less than `LEAST_FREE` bytes are free.
    """
    directory = directory.resolve()
    probe = directory / f".probe.{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise output_error(error, directory) from error
    finally:
        _remove(probe)
    if free < LEAST_FREE:
        raise _full(directory)
    return directory


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Within the block a disk that fills up is an `OutputError`, also where a worker stumbles over it."""
    try:
        yield
    except WorkerFailed as error:
        if shutil.disk_usage(directory).free < LEAST_FREE:
            raise _full(directory, error.details) from error
        raise
    except RegaugeError:
        raise
    except OSError as error:
        if error.errno in REFUSED:
            raise output_error(error, directory) from error
        raise


def output_error(error: OSError, directory: Path) -> OutputError:
    """The `OutputError` of what the operating system refused."""
    if error.errno in FULL:
        return _full(directory)
    return OutputError(
        f"the output directory cannot be written: {error.strerror or error}",
        where=str(error.filename or directory),
        next="choose another place with --out",
    )


def _full(directory: Path, details: tuple[str, ...] = ()) -> OutputError:
    return OutputError(
        "the disk of the output directory is full",
        code="S210",
        where=str(directory),
        why=f"a run needs at least {LEAST_FREE // 2**20} MiB for its own files, besides a copy of the weights",
        next="free some space and run the same command again, or choose another place with --out",
        details=details,
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the error that matters, why it could not be written, is already on its way
        return
