"""``regauge convert CASE --out DIR``: readable source and weights in the other framework, nothing checked yet."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from regauge.cli import options
from regauge.cli.progress import Bar
from regauge.cli.terminal import print_findings, print_json, print_next, stderr, stdout, whole_or_nothing
from regauge.conversion import Conversion
from regauge.conversion import convert as convert_case
from regauge.errors import NoSuchDirection
from regauge.language import _
from regauge.output import prepare_output, writing


def convert(
    case: Annotated[str, options.case_argument()],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help=_("where the conversion is written"))],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="jax|torch", help=_("target framework; the other one by default")),
    ] = None,
    show_graph: Annotated[bool, typer.Option("--show-graph", metavar="", help=_("print the captured graph"))] = False,
    layers: Annotated[str | None, options.layers_option()] = None,
    timeout: Annotated[float | None, options.timeout_option()] = None,
    torch_python: Annotated[str | None, options.torch_python_option()] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    if to not in (None, "jax", "torch"):
        raise NoSuchDirection(
            "regauge converts to jax and to torch",
            received=f"--to {to}",
            next=f"regauge convert {case} --out {out}",
        )
    # The target itself must stay empty until the conversion is whole, so its parent is what has to be writable.
    folder = prepare_output(out.resolve().parent) / out.resolve().name
    directory = tempfile.TemporaryDirectory(prefix="regauge-")
    with whole_or_nothing(), directory as work, writing(folder.parent), Bar() as bar:
        bar.begin("convert")
        sides = options.interpreters(torch_python, jax_python)
        conversion = convert_case(
            case,
            folder,
            Path(work),
            to=to,  # type: ignore[arg-type]
            interpreters=sides,
            timeout=timeout,
            progress=bar,
            layers=layers,
        )
        graph = _graph_text(Path(work) / "capture" / "graph.json") if show_graph else None
    if as_json:
        print_json({"ok": True, **conversion.to_json(), "files": _files(conversion), "graph": graph})
        return 0
    _show(conversion, case, out, graph)
    return 0


def _show(conversion: Conversion, case: str, out: Path, graph: str | None) -> None:
    console = stdout()
    if graph is not None:
        console.print(graph)
    console.print(_("{name}: converted to {folder}").format(name=conversion.name, folder=out))
    console.print("  " + "  ".join(_files(conversion)))
    print_findings(console, conversion.findings)
    print_next(stderr(), f"regauge check {case}", f"regauge compare {case} --quick")


def _files(conversion: Conversion) -> list[str]:
    return sorted(path.name for path in conversion.folder.iterdir() if path.is_file())


def _graph_text(path: Path) -> str:
    from regauge.ir.serial import graph_from_json
    from regauge.ir.show import show
    from regauge.run.protocol import read_json

    return show(graph_from_json(read_json(path)))
