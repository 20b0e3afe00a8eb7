"""One run at a time in one place: a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from regauge.errors import OutputError


@contextmanager
def occupied(directory: Path, lock: Path, *, keep: bool = True) -> Iterator[None]:
    """Hold `lock` within the block.

    Args:
        directory: what the lock stands for, named in the error.
        lock: the file that is locked; made if it is not there.
        keep: leave the file in place afterwards; where it would be in the way it is removed.

    Raises:
        OutputError: another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(directory, lock)
    try:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
    finally:
        if not keep:  # before it is released: what another run locks meanwhile is found stale there
            lock.unlink(missing_ok=True)
        file.close()


def _locked(directory: Path, lock: Path) -> IO[str]:
    while True:
        file = lock.open("a+", encoding="utf-8")
        try:
            _lock(file)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise OutputError(
                "another run uses this directory",
                code="S230",
                where=str(directory),
                received=f"process {holder}" if holder else "",
                why="two runs would overwrite each other's results",
                next="wait until it has ended, or choose another place with --out",
            ) from error
        if _is_current(file, lock):
            return file
        file.close()  # the run before removed the file between opening and locking


def _lock(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:  # a system without flock: nothing tells two runs apart there
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # some network file systems cannot lock
        return


def _is_current(file: IO[str], lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False
