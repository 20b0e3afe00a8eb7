"""``regauge doctor``: what is installed, in which interpreters, and what of it is usable."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import psutil
from rich.table import Table
from rich.text import Text

import regauge
from regauge.cases import BUILT_IN, EXTRAS
from regauge.cli import options
from regauge.cli.terminal import print_json, print_next, stderr, stdout
from regauge.language import N_, _
from regauge.output import LEAST_FREE
from regauge.run.launch import Interpreters

State = Literal["ok", "warning", "missing"]
MARKS: dict[State, tuple[str, str]] = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "missing": ("✗", "red")}
PROBE_SECONDS = 120

CAPTURE = N_("capturing, checking and measuring the PyTorch side")
EMIT = N_("writing, checking and measuring the JAX side")
COMPILER = N_("torch.compile; without it that variant is skipped")


@dataclass(frozen=True)
class Row:
    """One thing that a run needs: what it is, whether it is there, what it serves, and what to do about it."""

    name: str
    state: State
    found: str
    serves: str = ""
    next: str = ""


def doctor(
    torch_python: Annotated[str | None, options.torch_python_option()] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    sides = options.interpreters(torch_python, jax_python)
    rows = [*_frameworks(sides), _compiler(), *_extras(), _machine(), _disk(Path.cwd())]
    usable = all(row.state != "missing" for row in rows)
    if as_json:
        print_json({"ok": usable, "regauge": regauge.__version__, "rows": [asdict(row) for row in rows]})
    else:
        _show(rows)
    return 0 if usable else 1


def _show(rows: Sequence[Row]) -> None:
    table = Table("")
    for head in (_("what"), _("found"), _("needed for")):
        table.add_column(head, overflow="fold")  # Chinese has no spaces to break at, and a path has none either
    for row in rows:
        mark, style = MARKS[row.state]
        table.add_row(Text(mark, style), row.name, row.found, _(row.serves) if row.serves else "")
    console = stdout()
    console.print(f"regauge {regauge.__version__}")
    console.print(table)
    wanted = [row.next for row in rows if row.next]
    print_next(stderr(), *(wanted or [f"regauge compare {next(iter(BUILT_IN))} --quick"]))


def _frameworks(sides: Interpreters) -> list[Row]:
    return [
        _framework("PyTorch", sides.torch, "torch", CAPTURE, "pip install torch"),
        _framework("JAX", sides.jax, "jax", EMIT, "pip install jax flax optax"),
    ]


def _framework(name: str, python: str, side: str, serves: str, install: str) -> Row:
    """The row of one side: its interpreter is started and imports the framework, as a worker would."""
    probe = Path(regauge.__file__).parent / "run" / f"{side}_probe.py"
    missing = f"{install}, or name another interpreter with --{side}-python"
    try:
        # -P: the directory of the probe holds modules whose names must not shadow others.
        done = subprocess.run(
            [python, "-P", str(probe)], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return Row(name, "missing", f"{python}: {error}", serves, missing)
    if "error" in found:
        return Row(name, "missing", f"{python} (Python {found['python']}): {found['error']}", serves, missing)
    parts = [f"{name} {found['version']}", *(f"{lib} {found[lib]}" for lib in ("flax", "optax") if lib in found)]
    parts += [", ".join(found["devices"]), f"Python {found['python']}", python]
    return Row(name, "ok", "; ".join(parts), serves)


def _compiler() -> Row:
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        following = _("install a C++ compiler, such as the package g++, to measure torch.compile")
        return Row("C++", "warning", _("not found"), COMPILER, following)
    return Row("C++", "ok", path, COMPILER)


def _extras() -> list[Row]:
    rows = []
    for name, case in BUILT_IN.items():
        packages = EXTRAS[case.extra]
        absent = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
        serves = N_("a built-in case")
        if absent:
            found = _("missing: {packages}").format(packages=", ".join(absent))
            rows.append(Row(name, "warning", found, serves, case.install))
        else:
            rows.append(Row(name, "ok", ", ".join(packages.values()), serves))
    return rows


def _machine() -> Row:
    memory = psutil.virtual_memory()
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    text = _("{cores} cores, load {load:.1f}, {free:.1f} of {total:.1f} GiB memory free").format(
        cores=cores, load=os.getloadavg()[0], free=memory.available / 2**30, total=memory.total / 2**30
    )
    busy = os.getloadavg()[0] > 0.5 * cores
    advice = _("wait until the machine is idle before measuring: intervals widen with its load") if busy else ""
    return Row(_("machine"), "warning" if busy else "ok", text, N_("measurements"), advice)


def _disk(place: Path) -> Row:
    free = shutil.disk_usage(place).free
    writable = os.access(place, os.W_OK)
    enough = free >= LEAST_FREE and writable
    found = _("{free:.1f} GiB free in {place}").format(free=free / 2**30, place=place)
    return Row(
        _("disk"),
        "ok" if enough else "warning",
        found if writable else _("{place} cannot be written").format(place=place),
        N_("results"),
        "" if enough else _("name another place with --out"),
    )
