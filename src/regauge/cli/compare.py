"""``regauge compare CASE``: convert, check, measure, report: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from regauge.cases import BUILT_IN
from regauge.cli import options, plan_options
from regauge.cli.progress import Bar
from regauge.cli.terminal import print_json, print_next, resumable, stderr, stdout
from regauge.errors import BadCase
from regauge.language import _
from regauge.language import language as current_language
from regauge.pipeline import Comparison, Options
from regauge.pipeline import compare as compare_case


def compare(
    case: Annotated[str | None, options.case_argument()] = None,
    out: Annotated[Path, options.out_option()] = Path(options.DEFAULT_OUT),
    quick: Annotated[bool, plan_options.quick()] = False,
    tasks: Annotated[str | None, plan_options.tasks()] = None,
    variants: Annotated[str | None, plan_options.variants()] = None,
    blocks: Annotated[int | None, plan_options.blocks()] = None,
    steps: Annotated[int | None, plan_options.steps()] = None,
    threads: Annotated[int | None, plan_options.threads()] = None,
    precision: Annotated[str | None, plan_options.precision()] = None,
    seed: Annotated[int | None, plan_options.seed()] = None,
    margin: Annotated[float | None, plan_options.margin()] = None,
    self_test: Annotated[bool, plan_options.self_test()] = False,
    report: Annotated[bool, plan_options.report()] = True,
    fresh: Annotated[bool, options.fresh_option()] = False,
    layers: Annotated[str | None, options.layers_option()] = None,
    timeout: Annotated[float | None, options.timeout_option()] = None,
    torch_python: Annotated[str | None, options.torch_python_option()] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    case = _case(case, self_test)
    chosen = Options(
        quick=quick,
        tasks=_list(tasks),
        variants=_list(variants),
        blocks=blocks,
        steps=steps,
        threads=threads,
        precision=precision,
        seed=seed,
        margin=margin,
        timeout=timeout,
        layers=layers,
        fresh=fresh,
        report=report,
        self_test=self_test,
        language=current_language(),
        interpreters=options.interpreters(torch_python, jax_python),
    )
    return _run(case, out, chosen, as_json)


def _run(case: str, out: Path, chosen: Options, as_json: bool) -> int:
    from regauge.report.text import render_text

    with resumable(), Bar() as bar:
        comparison = compare_case(case, out, chosen, bar)
    if as_json:
        print_json(_json(comparison))
    else:
        render_text(comparison.document, stdout())
        _next(comparison)
    return comparison.exit_code


def _case(case: str | None, self_test: bool) -> str:
    if case is not None:
        return case
    if self_test:  # any model shows how far the machine's clock can be trusted
        return next(iter(BUILT_IN))
    raise BadCase("no case was named", code="B110", next=f"regauge compare {next(iter(BUILT_IN))}, or: regauge cases")


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in (text or "").split(",") if item.strip())


def _next(comparison: Comparison) -> None:
    console = stderr()
    if comparison.html is not None:
        print_next(console, _("open {path} in a browser").format(path=comparison.html))
    if not comparison.check.equal:
        console.print(_("nothing was measured: the two are not known to be the same function"))
        print_next(console, f"regauge check {comparison.case} --out {comparison.out}")


def _json(comparison: Comparison) -> dict[str, Any]:
    return {
        "ok": comparison.exit_code == 0,
        "case": comparison.case,
        "out": str(comparison.out),
        "html": str(comparison.html) if comparison.html else None,
        "seconds": comparison.seconds,
        "failed_launches": len(comparison.failures),
        "document": comparison.document.model_dump(mode="json"),
    }
