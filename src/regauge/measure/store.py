"""The store of raw results: append-only JSON lines with fsync, and a SQLite index made from them at any time.

The lines are the only truth. A power cut can tear the last line at most; it is dropped when the store is opened, and
`Store.notes` says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regauge.errors import BadResult, OutputError
from regauge.measure.result import Measurement

SCHEMA = 1
LINES = "measurements.jsonl"
INDEX = "measurements.sqlite"

_TABLE = """
create table measurement (
    line integer primary key, run text, task text, variant text, purpose text, block integer, position integer,
    status text, steps integer, median real, seconds real, started text, host_peak integer, device_peak integer
)
"""


class Store:
    """The measurements in a directory.

    Args:
        directory: is made if it is missing.

    Attributes:
        lines: the file of JSON lines.
        index: the SQLite file that `rebuild_index` writes.
        notes: what was repaired when the store was opened, in words.

    Raises:
        OutputError: the directory cannot be made or written to.
        BadResult: a line is damaged, or another version of regauge wrote it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.lines = self.directory / LINES
        self.index = self.directory / INDEX
        self.notes: tuple[str, ...] = ()
        with _writing(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            with self.lines.open("ab"):
                pass
        self._drop_torn_line()
        self._measurements = list(self._read())

    def append(self, measurement: Measurement) -> None:
        """Add one launch; when this returns, it is on the disk.

        Raises:
            OutputError: the disk is full or the file cannot be written; the store holds what it held before.
        """
        line = json.dumps({"schema": SCHEMA, "measurement": measurement.to_json()}, ensure_ascii=False) + "\n"
        with _writing(self.lines):
            before = self.lines.stat().st_size
            try:
                with self.lines.open("ab") as file:
                    file.write(line.encode("utf-8"))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self.lines, before)
                raise
        self._measurements.append(measurement)

    def load(self, run: str | None = None) -> list[Measurement]:
        """The stored launches of a run, or of all runs, in order; of a launch that was made again, the last.

        Args:
            run: the key of `plan.run_key`.
        """
        latest: dict[tuple[Any, ...], Measurement] = {}
        for m in self._measurements:
            if run is None or m.run == run:
                key = (m.run, m.task, m.variant, m.purpose, m.block)
                latest.pop(key, None)
                latest[key] = m
        return list(latest.values())

    def rebuild_index(self) -> Path:
        """Write the SQLite index anew from the lines; returns its path."""
        temporary = self.index.with_name(f".{self.index.name}.partial")
        with _writing(self.index):
            temporary.unlink(missing_ok=True)
            try:
                with contextlib.closing(sqlite3.connect(temporary)) as database, database:
                    database.execute(_TABLE)
                    rows = (_row(number, m) for number, m in enumerate(self._read(), start=1))
                    database.executemany(f"insert into measurement values ({', '.join('?' * 14)})", rows)
            except sqlite3.Error as error:
                raise OSError(str(error)) from error
            temporary.replace(self.index)
        return self.index

    def _drop_torn_line(self) -> None:
        content = self.lines.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with _writing(self.lines):
                os.truncate(self.lines, whole)
            self.notes += (
                f"the last line was torn ({len(content) - whole} bytes) and was dropped; it is measured again",
            )

    def _read(self) -> Iterator[Measurement]:
        with self.lines.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                yield _parse(line, f"{self.lines}:{number}")


def _parse(line: str, where: str) -> Measurement:
    try:
        data = json.loads(line)
        schema = data["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadResult(
            "a stored measurement is damaged",
            where=where,
            received=line.strip()[:80],
            next="remove that line; the launch is then measured again",
        ) from error
    if schema != SCHEMA:
        raise BadResult(
            "a stored measurement was written by another version of regauge",
            where=where,
            received=f"schema {schema}; this version reads schema {SCHEMA}",
            next="choose another place with --out, or read it with the version that wrote it",
        )
    try:
        return Measurement.from_json(data["measurement"])
    except (KeyError, TypeError) as error:
        raise BadResult("a stored measurement lacks a field or has one too many", where=where) from error


def _row(number: int, m: Measurement) -> tuple[Any, ...]:
    ordered = sorted(m.samples)
    half = len(ordered) // 2
    median = None if not ordered else (ordered[half] + ordered[-half - 1]) / 2
    key = (number, m.run, m.task, m.variant, m.purpose, m.block, m.position, m.status, len(m.samples))
    return (*key, median, m.seconds, m.started, m.memory.get("host_peak"), m.memory.get("device_peak"))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the results cannot be written: {error.strerror or error}",
            where=str(path),
            next="make room or choose another place with --out; what was stored before is kept",
        ) from error
