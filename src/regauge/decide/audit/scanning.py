"""Reading all files: in this process where there are few, in fresh interpreters of their own where there are many."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from regauge.decide.audit.modules import Place
from regauge.decide.audit.scan import Known, Scan, scan_file
from regauge.errors import WorkerFailed

FEW = 400  # files; below it a second interpreter costs more than it saves
MOST_WORKERS = 8


def scan_all(root: Path, places: Mapping[str, Place], known: Known, workers: int | None = None) -> list[Scan]:
    """The scans of all files, in the order of `places`.

    Args:
        workers: processes to use; None chooses by the number of files and processors.

    Raises:
        WorkerFailed: a process of the scan died.
    """
    count = workers or (1 if len(places) < FEW else min(os.cpu_count() or 1, MOST_WORKERS))
    if count == 1:
        return _scan(str(root), list(places.items()), known)
    with TemporaryDirectory(prefix="regauge-") as directory:
        shares = _shares(root, places, count)
        processes = [_start(Path(directory, str(n)), root, share, known) for n, share in enumerate(shares)]
        found: dict[str, Scan] = {}
        for number, process in enumerate(processes):
            _, errors = process.communicate()
            if process.returncode:
                for other in processes:
                    other.kill()
                raise WorkerFailed(
                    "a process that reads files stopped", details=errors.decode(errors="replace").splitlines()[-8:]
                )
            for scan in pickle.loads(Path(directory, f"{number}.out").read_bytes()):
                found[scan.path] = scan
    return [found[path] for path in places]


def _shares(root: Path, places: Mapping[str, Place], count: int) -> list[list[tuple[str, Place]]]:
    """Files dealt out by size, so that all processes end at about the same time."""

    def size(path: str) -> int:
        try:
            return (root / path).stat().st_size
        except OSError:
            return 0

    ordered = sorted(places.items(), key=lambda item: (-size(item[0]), item[0]))
    return [ordered[number::count] for number in range(count)]


def _start(job: Path, root: Path, share: list[tuple[str, Place]], known: Known) -> subprocess.Popen[bytes]:
    """A fresh interpreter, never a fork: the caller's process may hold threads of a framework."""
    job.write_bytes(pickle.dumps((str(root), share, known)))
    command = [sys.executable, "-m", "regauge.decide.audit.scanning", str(job)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _scan(root: str, share: Sequence[tuple[str, Place]], known: Known) -> list[Scan]:
    return [scan_file(root, path, place.module, place.package, known) for path, place in share]


def main(job: str) -> None:
    """The process of a share: reads what `_start` wrote, writes the scans beside it."""
    root, share, known = pickle.loads(Path(job).read_bytes())
    Path(f"{job}.out").write_bytes(pickle.dumps(_scan(root, share, known)))


if __name__ == "__main__":
    main(sys.argv[1])
