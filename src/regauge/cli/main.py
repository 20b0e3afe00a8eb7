"""The command ``regauge``: builds the application, runs one command, prints every error in one form."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import rich_utils
from typer.exceptions import TyperException

from regauge.cli import options
from regauge.cli.audit import audit
from regauge.cli.cases import cases
from regauge.cli.check import check
from regauge.cli.choose import choose
from regauge.cli.compare import compare
from regauge.cli.convert import convert
from regauge.cli.doctor import doctor
from regauge.cli.facts import facts
from regauge.cli.ops import ops
from regauge.cli.report import report
from regauge.cli.terminal import Interrupted, print_error
from regauge.errors import RegaugeError
from regauge.language import N_, _, preferred_language, set_language
from regauge.output import REFUSED, output_error

COMMANDS: tuple[tuple[Callable[..., int], str], ...] = (
    (compare, N_("Convert, check, measure, report: the main job.")),
    (convert, N_("Convert a case to readable source and weights.")),
    (check, N_("Check that two models, or a case and its conversion, are the same function.")),
    (choose, N_("Recommend a framework for the needs of a project, with every reason.")),
    (report, N_("Show stored results again, as tables and as an HTML page.")),
    (cases, N_("List the built-in cases.")),
    (audit, N_("Read a code base and say what a switch to the other framework would take.")),
    (ops, N_("Show which operators convert, and how.")),
    (facts, N_("Show what is documented about the frameworks, with sources.")),
    (doctor, N_("Show what is installed and usable.")),
)
SUMMARY = N_("Convert a model between PyTorch and JAX, check that both are the same function, measure both.")


class BadUsage(RegaugeError):
    """The command line itself is wrong: an unknown command or option, a missing argument."""

    default_code = "U100"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns:
        0 on success, 1 when the answer is no, 2 when the input was bad, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    set_language(preferred_language(arguments))
    as_json = "--json" in arguments
    try:
        code = application()(args=arguments, prog_name="regauge", standalone_mode=False)
    except RegaugeError as error:
        print_error(error, as_json)
        return error.exit_code
    except TyperException as error:
        print_error(_bad_usage(error, arguments), as_json)
        return BadUsage.exit_code
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        print_error(output_error(error, Path.cwd()), as_json)
        return 2
    if code == Interrupted.exit_code:  # what typer makes of a Ctrl-C that no command caught
        print_error(Interrupted("stopped by Ctrl-C", next="run the same command again"), as_json)
    return code if isinstance(code, int) else 0


def application() -> typer.Typer:
    """The commands with their help texts in the current language."""
    _translate_typer()
    app = typer.Typer(help=_(SUMMARY), add_completion=False, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_root)
    for command, summary in COMMANDS:
        app.command(command.__name__, help=_(summary))(command)
    return app


def _root(
    context: typer.Context,
    version: Annotated[bool, options.version_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def _bad_usage(error: TyperException, arguments: Sequence[str]) -> BadUsage:
    names = [command.__name__ for command, _summary in COMMANDS]
    command = next((argument for argument in arguments if argument in names), "")
    return BadUsage(
        error.format_message(),
        received=" ".join(["regauge", *arguments]),
        next=f"regauge {command} --help".replace("  ", " "),
    )


def _translate_typer() -> None:
    """Typer takes the words around our help texts from module constants."""
    words: dict[str, Any] = {
        "ARGUMENTS_PANEL_TITLE": _("Arguments"),
        "OPTIONS_PANEL_TITLE": _("Options"),
        "COMMANDS_PANEL_TITLE": _("Commands"),
        "DEFAULT_STRING": _("[default: {}]"),
        "REQUIRED_LONG_STRING": _("[required]"),
    }
    for name, value in words.items():
        setattr(rich_utils, name, value)


if __name__ == "__main__":
    sys.exit(main())
