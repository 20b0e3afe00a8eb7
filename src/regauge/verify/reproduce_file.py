"""``reproduce.py``: about ten lines that fail as long as two models differ, with their inputs inside or beside."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from regauge.errors import OutputError
from regauge.verify.asking import STEPS, Question
from regauge.verify.evaluations import Arrays
from regauge.verify.result import Tier

if TYPE_CHECKING:
    from regauge.verify.reproduction import Sources

FILE, INPUTS, MAP = "reproduce.py", "reproduce.npz", "weight_map.json"
MODELS = ("reproduce_original.pickle", "reproduce_converted.pickle")
_MOST_LITERALS = 64  # elements that are written into the file itself
_FEW = 4  # equal elements that are still written one by one
_WIDTH = 110


@dataclass(frozen=True)
class Reproduction:
    """A question, how it was answered, and the inputs; none where the question needs none."""

    question: Question
    tier: Tier
    inputs: Arrays


def remove_stale(out: Path) -> None:
    """Files of an earlier check say nothing about this one."""
    for name in (FILE, INPUTS, *MODELS):
        (out / name).unlink(missing_ok=True)


def write_reproduction(out: Path, found: Reproduction, sources: Sources) -> Path:
    """Write the file and what it needs beside it.

    Raises:
        OutputError: the directory cannot be written, or the models of this process cannot be stored.
    """
    try:
        if sources.models is not None:
            _store_models(out, sources.models)
        if found.inputs and not _is_small(found.inputs):
            np.savez(out / INPUTS, **found.inputs)  # type: ignore[arg-type]
        (out / FILE).write_text(text_of(found, sources, out), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{FILE} cannot be written: {error.strerror or error}", where=str(out)) from error
    return out / FILE


def text_of(found: Reproduction, sources: Sources, out: Path) -> str:
    """The program."""
    live = sources.models is not None
    one, other = MODELS if live else (_reference(sources.original, out), _reference(sources.converted, out))
    imports = ["import numpy as np"] if found.inputs else []
    call = [f"    {_quoted(one)},", f"    {_quoted(other)},"]
    if found.inputs:
        call.append("    inputs," if not _is_small(found.inputs) else f"    {_literal(found.inputs)},")
    call += [f"    question={_quoted(found.question.tier)},", f"    mode={_quoted(found.question.mode)},"]
    if found.question.steps != STEPS:
        call.append(f"    steps={found.question.steps},")
    if not found.question.typical and found.question.asked == "step float32":
        call.append("    typical=False,")
    call += [f"    weight_map={_quoted(MAP)},"] if not _is_folder(sources.converted) else []
    # not resolved: the python of a virtual environment is a link
    pythons = {
        role: os.path.abspath(path) if os.sep in path else path for role, path in (sources.pythons or {}).items()
    }
    call += [f"    pythons={pythons!r},"] if pythons else []
    load = []
    if found.inputs and not _is_small(found.inputs):
        imports.insert(0, "from pathlib import Path\n")
        load = [f"inputs = dict(np.load(Path(__file__).with_name({_quoted(INPUTS)})))"]
    return "\n".join(
        [
            f'"""{_docstring(found, one, other)}"""',
            "",
            *imports,
            *([""] if imports else []),
            "from regauge.testing import replay",
            "",
            *load,
            "found = replay(",
            *call,
            "    here=__file__,",
            ")",
            "print(found)",
            "raise SystemExit(not found.passed)",
            "",
        ]
    )


def _docstring(found: Reproduction, one: str, other: str) -> str:
    worst = max((d for d in found.tier.distances if not d.passed), key=lambda d: d.norm, default=None)
    said = f"{worst.name} is {worst.norm:.2g} away" if worst else (found.tier.why or "they differ")
    one, other = one.rpartition("/")[2], other.rpartition("/")[2]
    text = f"""{other} is not {one}: {said} ({found.tier.name}).

Written by regauge check. Exit code 1 and both values as long as they differ, 0 once they agree.
"""
    return text.replace("\\", "/").replace('"', "'")


def _reference(reference: str, out: Path) -> str:
    """A case reference as the file names it: paths are relative to the file, so that both can be moved together."""
    target, colon, name = reference.rpartition(":")
    if colon and target.endswith(".py"):
        return f"{_relative(Path(target), out)}:{name}"
    return _relative(Path(reference), out) if _is_folder(reference) else reference


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path.resolve(), out.resolve())).as_posix()


def _is_folder(reference: str) -> bool:
    return bool(reference) and Path(reference).is_dir()


def _is_small(arrays: Mapping[str, np.ndarray]) -> bool:
    return sum(array.size for array in arrays.values()) <= _MOST_LITERALS and all(
        array.size and array.dtype.kind in "fiub" and np.all(np.isfinite(array)) for array in arrays.values()
    )


def _literal(arrays: Mapping[str, np.ndarray]) -> str:
    items = [f"{_quoted(name)}: {_array(array)}" for name, array in sorted(arrays.items())]
    whole = "{" + ", ".join(items) + "}"
    if len(whole) <= _WIDTH:
        return whole
    return "{\n        " + ",\n        ".join(items) + ",\n    }"


def _array(array: np.ndarray) -> str:
    dtype = "bool" if array.dtype == bool else f"np.{array.dtype}"
    if array.size > _FEW and np.all(array == array.flat[0]):
        return f"np.full({array.shape}, {array.flat[0]}, {dtype})"
    return f"np.array({_nested(array)}, {dtype})"


def _nested(array: np.ndarray) -> str:
    if array.ndim:
        return "[" + ", ".join(map(_nested, array)) + "]"
    return str(array)  # the shortest text that gives this value in this dtype


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _store_models(out: Path, models: tuple[object, object]) -> None:
    """The two models of this process, for a process of its own.

    Raises:
        OutputError: a model cannot be stored, or its class is defined where no other process finds it.
    """
    for name, model in zip(MODELS, models, strict=True):
        try:
            data = pickle.dumps(model)
        except Exception as error:
            raise OutputError(
                f"the models of this process cannot be stored: {type(error).__name__}: {error}",
                next="write both sides as cases, and give regauge check their references",
            ) from error
        if b"__main__" in data:
            raise OutputError(
                "a model of this process is defined in __main__, where another process does not find it",
                next="write both sides as cases, and give regauge check their references",
            )
        (out / name).write_bytes(data)
