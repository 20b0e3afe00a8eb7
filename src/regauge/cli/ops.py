"""``regauge ops [NAME]``: which operators convert, what limits them, and how one is written in JAX."""

from __future__ import annotations

import difflib
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from regauge.cli import options
from regauge.cli.terminal import print_json, print_next, stderr, stdout
from regauge.errors import RegaugeError
from regauge.language import N_, _, translate_message
from regauge.run.launch import launch

EFFECTS = {"unsupported": N_("not supported"), "approximate": N_("approximate"), "slower": N_("slower")}


class NoRule(RegaugeError):
    """No rule exists for an operator of the name that was asked for."""

    default_code = "R210"


def ops(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help=_("an operator, such as aten.gelu.default, or a part of its name")),
    ] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    rules = _rules(jax_python)
    if name is not None:
        rules = _matching(rules, name)
    if as_json:
        print_json({"ok": True, "count": len(rules), "rules": rules})
    elif name is None:
        _show_families(rules, stdout())
    elif len(rules) == 1:
        _show_rule(rules[0], stdout())
    else:
        _show_list(rules, stdout())
    return 0


def _rules(jax_python: str | None) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="regauge-") as out:
        job = {"job": "rules", "out": out}
        return launch("jax", job, interpreters=options.interpreters(None, jax_python), timeout=120)["rules"]


def _matching(rules: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    exact = [rule for rule in rules if rule["op"] == name]
    found = exact or sorted(
        (rule for rule in rules if name in rule["op"]), key=lambda rule: _closeness(rule["op"], name)
    )
    if not found:
        near = difflib.get_close_matches(name, [rule["op"] for rule in rules], 3)
        raise NoRule(
            f"no rule converts an operator named {name}",
            received=name,
            why="a model that uses it is refused as a whole: nothing is approximated in silence",
            next=f"close names: {', '.join(near)}" if near else "docs/unsupported.md says what can be done",
        )
    return found


def _closeness(op: str, name: str) -> int:
    """0 for an operator of this very name, 1 for one whose name begins with it, 2 for the others."""
    own = op.split(".")[1:2]
    return 0 if own == [name] else 1 if own and own[0].startswith(name) else 2


def _show_families(rules: Sequence[dict[str, Any]], console: Console) -> None:
    table = Table(_("family"), _("operators"), _("with limits"))
    counts = Counter(rule["family"] for rule in rules)
    limited = Counter(rule["family"] for rule in rules if rule["limits"])
    for family, count in sorted(counts.items()):
        table.add_row(family, str(count), str(limited[family] or ""))
    table.add_section()
    table.add_row(_("all"), str(len(rules)), str(sum(limited.values())))
    console.print(table)
    print_next(stderr(), "regauge ops linear", "regauge ops --json")


def _show_list(rules: Sequence[dict[str, Any]], console: Console) -> None:
    for rule in rules:
        console.print(rule["schema"] or rule["op"])
        for limit in rule["limits"]:
            console.print(f"    {_(EFFECTS[limit['effect']])}: {translate_message(limit['when'])}", style="yellow")
    print_next(stderr(), f"regauge ops {rules[0]['op']}")


def _show_rule(rule: dict[str, Any], console: Console) -> None:
    console.print(f"{rule['op']}  ({rule['family']}, {rule['place']})", style="bold")
    console.print(rule["schema"])
    if rule["promotes"] != "none":
        console.print(_("operands are brought to one dtype: {kind}").format(kind=rule["promotes"]))
    for limit in rule["limits"]:
        console.print(
            f"{_(EFFECTS[limit['effect']])}: {translate_message(limit['when'])}: {translate_message(limit['reason'])}",
            style="yellow",
        )
        if limit["url"]:
            console.print(f"    {limit['url']}")
    if not rule["limits"]:
        console.print(_("no limits are known"))
    console.print(Syntax(rule["source"].rstrip(), "python", background_color="default"))
