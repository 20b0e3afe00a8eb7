"""Starting worker processes: always a fresh interpreter, never a fork of one that holds a framework."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from regauge.errors import MissingFramework, RegaugeError, WorkerFailed
from regauge.run.protocol import read_json, write_json

Framework = Literal["torch", "jax"]
Answer = TypeVar("Answer")

_running: dict[subprocess.Popen[bytes], int] = {}  # workers, by the thread that waits for each


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
        _running[process] = threading.get_ident()
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
        finally:
            _running.pop(process, None)
    if not reply_path.exists():
        raise _died(framework, python, code, log)
    reply = read_json(reply_path)
    if not reply["ok"]:
        raise RegaugeError.from_json(reply["error"])
    return reply["result"]


def at_once(calls: Sequence[Callable[[], Answer]]) -> list[Answer | WorkerFailed]:
    """What calls that launch workers return, all made at the same time, in order.

    Returns:
        Of each its answer, or the error of a worker that crashed, was killed or ran out of time.

    Raises:
        Exception: the first other error, after all calls are over. An interruption kills their workers.
    """
    threads: set[int] = set()
    with ThreadPoolExecutor(len(calls), initializer=lambda: threads.add(threading.get_ident())) as pool:
        futures = [pool.submit(_answer, call) for call in calls]
        try:
            wait(futures)
        except BaseException:
            for process, thread in list(_running.items()):
                if thread in threads:
                    process.kill()
            raise
    return [future.result() for future in futures]


def one_by_one(calls: Sequence[Callable[[], Answer]]) -> list[Answer | WorkerFailed]:
    """The same as `at_once`, one after the other: of models that share a process."""
    return [_answer(call) for call in calls]


def _answer(call: Callable[[], Answer]) -> Answer | WorkerFailed:
    try:
        return call()
    except WorkerFailed as error:
        return error


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
