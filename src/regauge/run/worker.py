"""What both workers share: read the job, run it, write the reply. Imports no framework."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regauge.errors import MissingFramework, RegaugeError, WorkerFailed
from regauge.run.protocol import read_json, write_json

# What the workers import of other projects; anything else that is missing is a defect or the person's own import.
NEEDED = ("torch", "jax", "jaxlib", "flax", "optax", "numpy", "safetensors")


def serve(jobs: Mapping[str, str], argv: list[str]) -> int:
    """Run the job in the file ``argv[1]`` and write ``reply.json`` into the job's ``out`` directory.

    Args:
        jobs: ``module:function`` by job name; the function takes the job and returns a JSON-able result.
        argv: the command line; its second item is the path of the job file.

    Returns:
        0 when the reply holds a result, 1 when it holds an error.
    """
    job: dict[str, Any] = read_json(Path(argv[1]))
    reply = _run(jobs[job["job"]], job)
    write_json(Path(job["out"]) / "reply.json", reply)
    return 0 if reply["ok"] else 1


def _run(reference: str, job: dict[str, Any]) -> dict[str, Any]:
    module, _, function = reference.partition(":")
    try:
        return {"ok": True, "result": getattr(importlib.import_module(module), function)(job)}
    except RegaugeError as error:
        traceback.print_exc(file=sys.stderr)
        return {"ok": False, "error": error.to_json()}
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in NEEDED:
            return _unexpected(error)
        missing = MissingFramework(
            f"{package} is not installed in this interpreter",
            received=sys.executable,
            next=f"pip install {package}, or name another interpreter with --torch-python or --jax-python",
        )
        return {"ok": False, "error": missing.to_json()}
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> dict[str, Any]:
    lines = traceback.format_exc().strip().splitlines()
    print("\n".join(lines), file=sys.stderr)
    failed = WorkerFailed(f"{type(error).__name__}: {error}", details=lines[-12:])
    return {"ok": False, "error": failed.to_json()}
