"""Machine checks: their outcomes in real worker processes, where each runs, and what is kept of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from regauge.decide import fact_checks
from regauge.decide.fact_checks import CheckResult, check_facts, packages_of
from regauge.decide.fact_results import FILE, stale_ids, store, stored_results
from regauge.decide.facts import Fact, FactBase, MachineCheck, Source, load
from regauge.errors import BadResult, MissingFramework, WorkerFailed
from regauge.run.launch import Interpreters

BASE = load()


def injected(id: str, expr: str, imports: tuple[str, ...] = ("math",), framework: str = "pytorch") -> Fact:
    source = Source("https://example.org", "docs")
    check = MachineCheck(imports, expr, "api")
    return Fact(id, framework, "tooling", id, "It is so.", "yes", "torch 2.13", (source,), "high", check, None, None)


def statuses(results: list[CheckResult]) -> dict[str, str]:
    return {result.id: result.status for result in results}


def test_every_outcome_in_one_worker() -> None:
    """What hangs, even inside C, and what kills its process costs no other check."""
    backtracking = "re.match('(a+)+$', 'a' * 40 + 'b') is None"  # holds the interpreter's lock for hours
    results = check_facts(
        [
            injected("true", "math.pi > 3"),
            injected("false", "math.pi > 4"),
            injected("raises", "math.sqrt(-1)"),
            injected("hangs", backtracking, ("re",)),
            injected("missing", "True", ("no_such_package_here",)),
            injected("dies", "os._exit(7)", ("os",)),
            injected("true-after-all", "math.pi > 3"),
        ],
        seconds=2,
    )
    assert statuses(results) == {
        "true": "confirmed",
        "false": "stale",
        "raises": "failed",
        "hangs": "failed",
        "missing": "not checked",
        "dies": "failed",
        "true-after-all": "confirmed",
    }
    by_id = {result.id: result for result in results}
    assert by_id["raises"].reason.startswith("ValueError: ")
    assert by_id["hangs"].reason == "it did not finish within 2 s and was stopped"
    assert by_id["missing"].reason == "no_such_package_here is not installed in this interpreter"
    assert by_id["dies"].reason == "the torch worker ended with exit code 7 and no reply"
    assert by_id["false"].expr == "math.pi > 4"
    assert all(result.python == sys.executable and len(result.date) == 10 for result in results)


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    facts = [injected("one", "True"), injected("two", "True")]
    check_facts(facts, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_facts_without_a_check_are_passed_over() -> None:
    assert check_facts([BASE.by_id("mx-status")]) == []


def test_an_interpreter_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(MissingFramework, match="cannot be started"):
        check_facts([injected("one", "True")], interpreters=Interpreters(torch="/no/such/python"))


def test_an_interpreter_without_regauge_checks_nothing(tmp_path: Path) -> None:
    stub = tmp_path / "python"
    stub.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n', encoding="utf-8")
    stub.chmod(0o755)
    (result,) = check_facts([injected("one", "True")], interpreters=Interpreters(torch=str(stub)))
    assert result.status == "not checked"
    assert result.reason == "regauge is not installed in the Python interpreter of the torch side"
    assert result.python == str(stub)


class Played:
    """`launch` without processes: notes what ran where, and answers as it is told."""

    def __init__(self, lacking: tuple[tuple[str, str], ...] = ()) -> None:
        self.ran: list[tuple[str, list[str]]] = []
        self.lacking = lacking

    def __call__(self, side: str, job: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        self.ran.append((side, [check["id"] for check in job["checks"]]))
        with (Path(job["out"]) / "results.jsonl").open("w", encoding="utf-8") as file:
            for check in job["checks"]:
                status = "not checked" if (side, check["id"]) in self.lacking else "confirmed"
                line = {"id": check["id"], "status": status, "reason": "", "versions": {}}
                file.write(json.dumps(line) + "\n")
        return {}


def test_each_framework_has_a_process_and_each_spanning_check_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played()
    monkeypatch.setattr(fact_checks, "launch", played)
    facts = [
        injected("t1", "True", ("torch",)),
        injected("j1", "True", ("jax.numpy as jnp", "flax.nnx as nnx"), "jax"),
        injected("both", "True", ("torch", "jax"), "common"),
        injected("t2", "True", ("importlib.metadata",)),
        injected("j2", "True", ("importlib.metadata",), "jax"),
        injected("t3", "True", ("torch.nn", "inspect")),
        injected("k1", "True", ("keras",), "keras"),
    ]
    results = check_facts(facts)
    assert played.ran == [
        ("torch", ["t1", "t2", "t3"]),
        ("jax", ["j1", "j2"]),
        ("torch", ["k1"]),
        ("torch", ["both"]),
    ]
    assert [result.id for result in results] == [fact.id for fact in facts]


def test_a_spanning_check_is_tried_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(lacking=(("torch", "both"),))
    monkeypatch.setattr(fact_checks, "launch", played)
    both = injected("both", "True", ("torch", "jax"), "common")
    (result,) = check_facts([both], interpreters=Interpreters(torch="one", jax="other"))
    assert [side for side, _ids in played.ran] == ["torch", "jax"]
    assert (result.status, result.python) == ("confirmed", "other")


def test_a_worker_that_never_starts_a_check_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_side: str, job: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        (Path(job["out"]) / "log.txt").write_text("")
        raise WorkerFailed("the torch worker crashed (signal 11)")

    monkeypatch.setattr(fact_checks, "launch", broken)
    results = check_facts([injected("one", "True"), injected("two", "True")])
    assert {result.reason for result in results} == {"the torch worker crashed (signal 11)"}
    assert set(statuses(results).values()) == {"failed"}


def test_half_a_line_is_a_check_that_did_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[list[str]] = []

    def killed(_side: str, job: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        runs.append([check["id"] for check in job["checks"]])
        first = runs[-1][0]
        (Path(job["out"]) / "log.txt").write_text("")
        (Path(job["out"]) / "results.jsonl").write_text(f'{{"id": "{first}"}}\n{{"id": "{first}", "stat')
        raise WorkerFailed("the torch worker was killed (signal 9), most likely for memory")

    monkeypatch.setattr(fact_checks, "launch", killed)
    results = check_facts([injected("one", "True"), injected("two", "True")])
    assert runs == [["one", "two"], ["two"]]
    assert set(statuses(results).values()) == {"failed"}


def test_packages_of_a_check() -> None:
    check = MachineCheck(
        ("os.path", "jax.numpy as jnp", "importlib.metadata"),
        "has('optax', 'adam') and importlib.metadata.version('flax') and importlib.util.find_spec('safetensors.flax')",
        "api",
    )
    assert packages_of(check) == ("jax", "flax", "safetensors", "optax")


def test_results_are_kept_and_merged(tmp_path: Path) -> None:
    facts = {id: BASE.by_id(id) for id in ("jx-jit", "jx-vmap", "pt-vmap")}
    base = FactBase(tuple(facts.values()))

    def result(id: str, status: str) -> CheckResult:
        check = facts[id].check
        return CheckResult(id, status, "", {"jax": "9.9"}, "python", check.expr if check else "", "2030-01-02")

    assert stale_ids(tmp_path) == frozenset()
    path = store([result("jx-jit", "confirmed"), result("jx-vmap", "stale")], tmp_path)
    assert path == tmp_path / FILE
    assert stale_ids(tmp_path) == {"jx-vmap"}
    store([result("pt-vmap", "stale"), result("jx-jit", "failed")], tmp_path)
    assert statuses(list(stored_results(tmp_path, base).values())) == {
        "jx-jit": "failed",
        "jx-vmap": "stale",
        "pt-vmap": "stale",
    }
    assert stored_results(tmp_path)["jx-jit"] == result("jx-jit", "failed")
    store([result("jx-vmap", "confirmed")], tmp_path)
    assert stale_ids(tmp_path) == {"pt-vmap"}


def test_a_result_of_another_expression_does_not_count(tmp_path: Path) -> None:
    store([CheckResult("jx-jit", "stale", "", {}, "python", "False", "2030-01-02")], tmp_path)
    assert stale_ids(tmp_path) == frozenset()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99, "results": []}', '{"schema": 1, "results": [{}]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(BadResult, match="the results of fact checks cannot be read") as caught:
        stale_ids(tmp_path)
    assert str(tmp_path / FILE) in caught.value.where
    assert "regauge facts --check" in caught.value.next


# Of every kind: api, behaviour, metadata; each framework alone, both together; eager, compiled, exported.
SAMPLE = (
    *("pt-while-reverse", "pt-torchscript", "pt-recompile-limit", "pt-save-load", "pt-licence"),
    *("jx-while-no-reverse", "jx-float64", "jx-pmap", "jx-export", "jx-optax", "jx-notebook"),
    *("xx-no-jacf", "xx-dlpack"),
)


def test_a_sample_of_the_real_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also: the shell's own settings of JAX do not decide about a fact on defaults."""
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    results = check_facts([BASE.by_id(id) for id in SAMPLE])
    assert {result.id: (result.status, result.reason) for result in results} == dict.fromkeys(SAMPLE, ("confirmed", ""))
    versions = {name for result in results for name in result.versions}
    assert {"torch", "jax", "optax", "flax", "python"} <= versions


@pytest.mark.slow
def test_every_real_check() -> None:
    """Confirmed, or about a package that need not be installed here."""
    results = check_facts(BASE.facts)
    assert len(results) == sum(fact.check is not None for fact in BASE.facts)
    others = {result.id: f"{result.status} {result.reason}" for result in results if result.status != "confirmed"}
    absent = [f"not checked {name} is not installed in this interpreter" for name in ("equinox", "timm")]
    assert set(others.values()) <= set(absent), others
