"""Options that several commands share.

Functions, not constants: typer evaluates a command's annotations when the application is built, and by then the
language of the help texts is known.
"""

from __future__ import annotations

from typing import Any

import typer

from regauge import __version__
from regauge.case import LAYERS
from regauge.language import LANGUAGES, _, set_language
from regauge.run.launch import Interpreters

DEFAULT_OUT = "build"


def case_argument(name: str = "CASE") -> Any:
    return typer.Argument(metavar=name, help=_("file.py:name, package.module:name, or a built-in case (regauge cases)"))


def version_option() -> Any:
    return typer.Option("--version", help=_("print the version"), metavar="", callback=_show_version, is_eager=True)


def json_option() -> Any:
    return typer.Option("--json", metavar="", help=_("print one JSON object on stdout and nothing else"))


def lang_option() -> Any:
    return typer.Option(
        "--lang",
        metavar="|".join(LANGUAGES),
        help=_("language of the output"),
        callback=_choose_language,
        is_eager=True,
    )


def torch_python_option() -> Any:
    return typer.Option("--torch-python", metavar="PATH", help=_("Python interpreter that has PyTorch"))


def jax_python_option() -> Any:
    return typer.Option("--jax-python", metavar="PATH", help=_("Python interpreter that has JAX"))


def layers_option() -> Any:
    return typer.Option(
        "--layers",
        metavar="|".join(LAYERS),
        help=_("equal layers in a row: one scan over stacked weights, or one by one; the case's own choice if absent"),
    )


def timeout_option() -> Any:
    return typer.Option("--timeout", metavar="SECONDS", min=1, help=_("stop a worker process after this time"))


def converted_argument() -> Any:
    return typer.Argument(
        metavar="CONVERTED",
        help=_("the case to be judged against ORIGINAL; without it ORIGINAL is converted and that is judged"),
    )


def map_option() -> Any:
    return typer.Option(
        "--map", metavar="FILE", help=_("JSON: names of the original's weights to names of the converted model's")
    )


def save_map_option() -> Any:
    return typer.Option("--save-map", metavar="FILE", help=_("write the weight map that was used; --map reads it"))


def fail_on_option() -> Any:
    return typer.Option(
        "--fail-on",
        metavar="different|not-checked",
        help=_("exit with 1 only on a difference, or also where anything was not checked"),
    )


def original_python_option() -> Any:
    return typer.Option("--original-python", metavar="PATH", help=_("Python interpreter of the original alone"))


def converted_python_option() -> Any:
    return typer.Option("--converted-python", metavar="PATH", help=_("Python interpreter of the converted side alone"))


def interpreters(torch_python: str | None, jax_python: str | None) -> Interpreters:
    """The executables that were named; this interpreter for a side that was not."""
    named = {side: path for side, path in (("torch", torch_python), ("jax", jax_python)) if path}
    return Interpreters(**named)


def _choose_language(name: str | None) -> str | None:
    if name is not None:
        set_language(name)
    return name


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def out_option() -> Any:
    return typer.Option(
        "--out", metavar="DIR", help=_("where results are kept; the same command with the same place resumes them")
    )


def fresh_option() -> Any:
    return typer.Option("--fresh", metavar="", help=_("convert and check again, even if nothing changed"))
