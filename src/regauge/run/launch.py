"""Starting worker processes: always a fresh interpreter, never a fork of one that holds a framework."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from regauge.errors import MissingFramework, RegaugeError, WorkerFailed
from regauge.run.protocol import read_json, write_json

Framework = Literal["torch", "jax"]


@dataclass(frozen=True)
class Interpreters:
    """The Python executables of the two sides; both default to the one that runs regauge."""

    torch: str = sys.executable
    jax: str = sys.executable


def launch(
    framework: Framework,
    job: Mapping[str, Any],
    *,
    interpreters: Interpreters | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Run one job in a fresh worker and return its result.

    Args:
        framework: which worker.
        job: JSON-able; ``job["out"]`` is an existing directory that receives job.json, log.txt and reply.json.
        interpreters: the executables to use.
        environment: variables added to this process's own.
        timeout: seconds after which the worker is killed.

    Raises:
        MissingFramework: the interpreter cannot be started, or lacks regauge or the framework.
        WorkerFailed: the worker crashed, was killed or ran out of time; its last output is in the details.
        RegaugeError: whatever error the worker replied with, as its own class.
    """
    out = Path(job["out"])
    reply_path = out / "reply.json"
    reply_path.unlink(missing_ok=True)
    write_json(out / "job.json", dict(job))
    python = getattr(interpreters or Interpreters(), framework)
    command = [python, "-m", f"regauge.run.{framework}_worker", str(out / "job.json")]
    log = out / "log.txt"
    with log.open("wb") as output:
        process = _start(framework, command, output, {**os.environ, **(environment or {})})
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise WorkerFailed(
                f"the {framework} worker did not finish within {timeout:.0f} s and was stopped",
                code="P120",
                details=_tail(log),
                next="give more time with --timeout, or smaller inputs",
            ) from None
        except BaseException:
            process.kill()
            process.wait()
            raise
    if not reply_path.exists():
        raise _died(framework, python, code, log)
    reply = read_json(reply_path)
    if not reply["ok"]:
        raise RegaugeError.from_json(reply["error"])
    return reply["result"]


def _start(
    framework: Framework, command: list[str], output: BinaryIO, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    except OSError as error:
        raise MissingFramework(
            f"the Python interpreter of the {framework} side cannot be started: {error.strerror or error}",
            received=command[0],
            next=f"name a Python executable with --{framework}-python",
        ) from error


def _died(framework: Framework, python: str, code: int, log: Path) -> RegaugeError:
    if any("No module named 'regauge'" in line for line in _tail(log)):
        return MissingFramework(
            f"regauge is not installed in the Python interpreter of the {framework} side",
            received=python,
            next=f"{python} -m pip install regauge",
        )
    if code == -9:
        what, following = (
            "was killed (signal 9), most likely for memory",
            "use a smaller batch or a smaller model",
        )
    elif code < 0:
        what, following = f"crashed (signal {-code})", "the last output says where"
    else:
        what, following = f"ended with exit code {code} and no reply", "the last output says why"
    return WorkerFailed(f"the {framework} worker {what}", details=_tail(log), next=following)


def _tail(log: Path, lines: int = 12) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-lines:]
