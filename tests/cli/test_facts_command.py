"""``regauge facts``: lists, single facts, checks; text, JSON, Chinese; bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from regauge.cli import facts as command
from regauge.cli.main import main
from regauge.decide.fact_checks import CheckResult
from regauge.decide.fact_results import store
from regauge.decide.facts import load

BASE = load()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without results of earlier checks."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["facts", *arguments]) == code
    found = capsys.readouterr()
    return found.out + found.err


def kept(out: Path, id: str, status: str, reason: str = "") -> CheckResult:
    check = BASE.by_id(id).check
    assert check is not None
    result = CheckResult(id, status, reason, {"jax": "9.9"}, "python", check.expr, "2030-01-02")
    out.mkdir(exist_ok=True)
    store([result], out)
    return result


def test_the_overview_has_every_question_and_both_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = shown(capsys)
    for dimension in BASE.dimensions():
        assert dimension in text
    assert re.search(r"onnx_export\s+│ yes\s+│ partly", text)
    assert "Theano no" in text
    assert f"{len(BASE.facts)} facts about 9 frameworks, " in text
    assert "next: regauge facts --check" in text


def test_one_fact_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "jx-pmap")
    assert "pmap_recommended: no" in text
    assert "https://github.com/jax-ml/jax/blob/cec06d1/docs/migrate_pmap.md" in text
    assert "https://pypi.org/project/jax/0.10.2/" in text
    assert "replaced by: jax.shard_map / jit with shardings" in text
    assert "about: jax 0.8-0.10" in text
    assert "hasattr(jax.sharding, 'PmapSharding')" in text


@pytest.mark.parametrize("id", [fact.id for fact in BASE.facts])
def test_every_fact_can_be_shown(capsys: pytest.CaptureFixture[str], id: str) -> None:
    fact = BASE.by_id(id)
    for language, texts in (("en", (fact.statement, fact.about)), ("zh", (fact.dimension,))):
        text = shown(capsys, id, "--lang", language)
        assert all(part in text for part in (*texts, *(source.ref for source in fact.sources)))


def test_a_question_shows_all_answers(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "mobile_edge_runtime")
    assert {"pt-executorch", "jx-mobile", "tf-lite"} <= set(text.split())


def test_a_retired_framework(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "theano")
    assert "Theano is not developed any more (as of 2024-01); use instead: pytensor" in text
    assert "https://github.com/Theano/Theano/blob/7505f23/README.rst" in text
    assert "MXNet is not developed any more (as of 2023-11); the project names no successor" in shown(capsys, "mxnet")
    assert "not developed any more" not in shown(capsys, "kr-status")


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, "--framework", "jax", "--area", "deployment", "--json"))
    assert found["count"] == len(found["facts"]) > 5
    assert {(fact["framework"], fact["area"]) for fact in found["facts"]} == {("jax", "deployment")}
    assert json.loads(shown(capsys, "deployment", "--framework", "jax", "--json")) == found
    found = json.loads(shown(capsys, "onnx", "--framework", "pytorch", "--json"))
    assert [fact["id"] for fact in found["facts"]] == ["pt-onnx"]


def test_json_is_complete_and_english(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, "--json", "--lang", "zh"))
    assert found["ok"] is True
    assert found["count"] == len(BASE.facts)
    by_id = {fact["id"]: fact for fact in found["facts"]}
    fact = by_id["th-status"]
    assert fact["statement"] == BASE.by_id("th-status").statement
    assert fact["sources"][0]["url"] == "https://github.com/Theano/Theano/blob/7505f23/README.rst"
    assert fact["retired"]["successor"] == "pytensor"
    assert (fact["check"], fact["checked"]) == (None, None)
    assert by_id["pt-recompile-limit"]["value"] == 8
    assert by_id["jx-jit"]["check"]["imports"] == ["jax", "jax.numpy as jnp"]


def test_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "jx-onnx", "--lang", "zh")
    assert "JAX 自身没有 ONNX 导出器" in text
    assert "onnx_export：部分" in text
    assert "机器检查" in text
    assert "Theano 已停止开发（截至 2024-01）；替代：pytensor" in shown(capsys, "theano", "--lang", "zh")
    assert "部署" in shown(capsys, "--lang", "zh")


@pytest.mark.parametrize(
    ("arguments", "what", "following"),
    [
        (["onxx"], "no fact, question, framework or area is called onxx", "close names: pt-onnx, jx-onnx, onnx_export"),
        (["tehano"], "no fact, question, framework or area is called tehano", "close names: theano"),
        (["qqqqqq"], "no fact, question, framework or area is called qqqqqq", "regauge facts lists all of them"),
        (["--framework", "pytroch"], "no fact is about a framework called pytroch", "close names: pytorch"),
        (["--framework", "qq"], "no fact is about a framework called qq", "one of pytorch, jax"),
        (["--area", "deploy"], "there is no area called deploy", "close names: deployment"),
        (
            ["onnx", "--area", "data"],
            "no fact fits all that was asked for: onnx data",
            "leave out --framework or --area",
        ),
    ],
)
def test_unknown_names(capsys: pytest.CaptureFixture[str], arguments: list[str], what: str, following: str) -> None:
    text = shown(capsys, *arguments, code=2)
    assert f"N210 {what}" in text
    assert f"next: {following}" in text
    error = json.loads(shown(capsys, *arguments, "--json", code=2))["error"]
    assert error["what"] == what
    assert re.search(r"[\u4e00-\u9fff]", shown(capsys, *arguments, "--lang", "zh", code=2).splitlines()[0])


def test_a_real_check(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    text = shown(capsys, "pt-float64", "--check")
    assert "confirmed: 1" in text
    following = [line.removeprefix("next: ") for line in text.splitlines() if line.startswith("next: ")]
    assert following == ["regauge facts"]
    assert re.search(r"pt-float64  confirmed  \(\d{4}-\d\d-\d\d, torch 2", text)
    stored = json.loads((elsewhere / "build" / "facts.json").read_text(encoding="utf-8"))
    assert [(result["id"], result["status"]) for result in stored["results"]] == [("pt-float64", "confirmed")]
    assert "confirmed  (" in shown(capsys, "pt-float64")
    assert json.loads(shown(capsys, "pt-float64", "--json"))["facts"][0]["checked"]["status"] == "confirmed"


def test_a_contradicted_fact_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, elsewhere: Path
) -> None:
    results = [
        kept(elsewhere / "build", "jx-jit", "confirmed"),
        kept(elsewhere / "build", "jx-vmap", "stale"),
        kept(elsewhere / "build", "jx-pmap", "failed", "AttributeError: no pmap"),
        kept(elsewhere / "build", "jx-equinox", "not checked", "equinox is not installed in this interpreter"),
    ]
    monkeypatch.setattr(command, "check_facts", lambda _facts, **_options: results)
    text = shown(capsys, "--check", code=1)
    assert "jx-vmap  stale: look again, the fact was true of what it is about  (2030-01-02, jax 9.9)" in text
    assert "jx-pmap  failed: AttributeError: no pmap" in text
    assert "jx-equinox  not checked: equinox is not installed in this interpreter" in text
    assert "1 fact is contradicted by what is installed" in text
    assert "next: regauge facts jx-vmap" in text
    found = json.loads(shown(capsys, "--check", "--json", code=1))
    assert found["ok"] is False
    assert found["counts"] == {"confirmed": 1, "stale": 1, "not checked": 1, "failed": 1}
    assert [result["status"] for result in found["results"]] == ["confirmed", "stale", "failed", "not checked"]
    chinese = shown(capsys, "--check", "--lang", "zh", code=1)
    assert "已过时：请重新核对" in chinese
    assert "这个解释器中没有安装 equinox" in chinese


def test_kept_results_mark_facts(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    kept(elsewhere / "other", "jx-vmap", "stale")
    assert "stale" not in shown(capsys, "vmap")
    for arguments in (["vmap"], [], ["jx-vmap"]):
        text = shown(capsys, *arguments, "--out", str(elsewhere / "other"))
        assert "stale" in text
    assert "1 fact is contradicted" in shown(capsys, "vmap", "--out", str(elsewhere / "other"))


def test_a_fact_without_a_check_cannot_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert "none of these facts has a machine check" in shown(capsys, "pt-amd", "--check")


def test_bad_places(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    (elsewhere / "file").write_text("")
    assert "S200" in shown(capsys, "pt-float64", "--check", "--out", "file", code=2)
    assert "cannot be started" in shown(capsys, "pt-float64", "--check", "--torch-python", "/no/such", code=2)
    (elsewhere / "build").mkdir(exist_ok=True)
    (elsewhere / "build" / "facts.json").write_text("{")
    assert "S100 the results of fact checks cannot be read" in shown(capsys, code=2)
