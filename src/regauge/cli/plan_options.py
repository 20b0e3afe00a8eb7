"""Options of ``regauge compare`` that say what is measured, and how; functions for the reason given in `options`."""

from __future__ import annotations

from typing import Any

import typer

from regauge.language import _


def quick() -> Any:
    return typer.Option("--quick", metavar="", help=_("one to two minutes of measuring; the intervals are wide"))


def tasks() -> Any:
    return typer.Option("--tasks", metavar="train,infer", help=_("what to measure; all that the case has if absent"))


def variants() -> Any:
    names = "torch-eager, torch-compile, jax-jit, jax-op-by-op"
    return typer.Option(
        "--variants", metavar="NAMES", help=_("ways to run, separated by commas: {names}").format(names=names)
    )


def blocks() -> Any:
    return typer.Option("--blocks", metavar="N", min=1, help=_("launches of each variant and task"))


def steps() -> Any:
    return typer.Option("--steps", metavar="N", min=1, help=_("timed steps of a launch"))


def threads() -> Any:
    return typer.Option("--threads", metavar="N", min=1, help=_("threads of both frameworks"))


def precision() -> Any:
    return typer.Option("--precision", metavar="PROFILE", help=_("arithmetic of both frameworks: strict32 or tf32"))


def seed() -> Any:
    return typer.Option("--seed", metavar="N", help=_("seed of the order of launches"))


def margin() -> Any:
    return typer.Option("--margin", metavar="SHARE", min=0, help=_("difference that does not matter; 0.03 is 3 %"))


def self_test() -> Any:
    return typer.Option(
        "--self-test", metavar="", help=_("measure one variant against itself: how far this machine can be trusted")
    )


def report() -> Any:
    return typer.Option("--report/--no-report", metavar="", help=_("write report.html"))
