"""What regauge wrote into a saved folder, so that what a person changed there is told apart and never lost."""

from __future__ import annotations

import hashlib
from pathlib import Path

from regauge.run.protocol import read_json, write_json

_OWN = "conversion.json"
_MADE_BY_RUNNING = ("__pycache__", ".pytest_cache")


def remember_files(folder: Path) -> None:
    """Write down in conversion.json what the files of a folder hold."""
    write_json(folder / _OWN, {**read_json(folder / _OWN), "files": _digests(folder)})


def changed_files(folder: Path) -> list[str]:
    """Files of a saved folder that are not as they were written; none where conversion.json says nothing of files."""
    written = _written(folder)
    if written is None:
        return []
    found = _digests(folder)
    return sorted(name for name, digest in found.items() if written.get(name) != digest)


def is_as_written(folder: Path) -> bool:
    """Whether conversion.json says what the files of a folder held, and they still do."""
    return _written(folder) is not None and not changed_files(folder)


def _written(folder: Path) -> dict[str, str] | None:
    try:
        found: dict[str, str] | None = read_json(folder / _OWN).get("files")
    except (OSError, ValueError):
        return None
    return found


def set_aside(folder: Path) -> Path:
    """Move a folder to the first free name beside it, ``rhythm.1``, ``rhythm.2`` ...; returns where it is now."""
    number = 1
    while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return folder.rename(kept)


def _digests(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != _OWN)
    own = (path for path in paths if not set(_MADE_BY_RUNNING) & set(path.relative_to(folder).parts))
    return {path.relative_to(folder).as_posix(): _digest(path) for path in own}


def _digest(path: Path) -> str:
    """SHA-256; of weights, which may take gigabytes, size and time of the last change.

    Weights that were trained on and saved in their place have the same size. A copy has another time and counts as
    changed, which costs no more than that it is kept.
    """
    if path.suffix == ".safetensors":
        status = path.stat()
        return f"{status.st_size} bytes at {status.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
