"""``regauge cases``: the built-in cases."""

from __future__ import annotations

from typing import Annotated

from rich.table import Table

from regauge.cases import BUILT_IN
from regauge.cli import options
from regauge.cli.terminal import print_json, print_next, stdout
from regauge.language import _, translate_message


def cases(
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    if as_json:
        found = {
            name: {"reference": case.reference, "summary": case.summary, "extra": case.extra}
            for name, case in BUILT_IN.items()
        }
        print_json({"ok": True, "cases": found})
        return 0
    table = Table()
    for head in (_("case"), _("what it is"), _("needs")):
        table.add_column(head, overflow="fold")  # Chinese has no spaces to break at
    for name, case in BUILT_IN.items():
        table.add_row(name, translate_message(case.summary), case.install)
    console = stdout()
    console.print(table)
    print_next(console, f"regauge compare {next(iter(BUILT_IN))} --quick")
    return 0
