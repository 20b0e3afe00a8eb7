"""Plans: the order of launches is balanced, the key changes with everything that matters, bad wishes are refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from regauge.errors import BadResult
from regauge.measure.environment import available_cpus
from regauge.measure.order import balanced_orders, williams_rows
from regauge.measure.plan import BadPlan, make_plan, parse_variant, run_key, schedule
from regauge.measure.result import Variant

TRAINS = {"has_loss": True, "optimizer": {"type": "SGD"}}


def folder(path: Path, **conversion: object) -> Path:
    (path / "conversion.json").write_text(
        json.dumps({"schema": 1, "name": "case", **(conversion or TRAINS)}), encoding="utf-8"
    )
    (path / "model.py").write_text("class Model: ...\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_every_item_is_as_often_in_every_place_and_after_every_other(n: int) -> None:
    rows = williams_rows(n)
    places = Counter((place, item) for row in rows for place, item in enumerate(row))
    assert set(places.values()) == {len(rows) // n}
    assert len(places) == n * n
    followers = Counter(pair for row in rows for pair in pairwise(row))
    assert len(followers) == n * (n - 1)
    assert len(set(followers.values())) <= 1


def test_blocks_are_balanced_over_whole_cycles_and_differ_by_seed() -> None:
    orders = balanced_orders("abc", 12, seed=1)
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert set(Counter((i, x) for order in orders for i, x in enumerate(order)).values()) == {4}
    assert orders == balanced_orders("abc", 12, seed=1)
    assert orders != balanced_orders("abc", 12, seed=2)


def test_a_full_plan_makes_every_launch_once(tmp_path: Path) -> None:
    plan = make_plan("case", folder(tmp_path), blocks=4, threads=1)
    launches = schedule(plan)
    made = Counter((item.variant.name, task, p) for item in launches for task in item.tasks for p in item.purposes)
    for variant in ("torch eager", "torch compile", "jax jit"):
        for task in ("train", "infer"):
            assert made[variant, task, "time"] == 4
            assert made[variant, task, "compile-cold"] == made[variant, task, "compile-warm"] == plan.starts
            assert made[variant, task, "memory"] == plan.starts
    assert all(not {"time", "memory"} <= set(item.purposes) for item in launches)


def test_a_warm_start_follows_its_cold_one(tmp_path: Path) -> None:
    launches = schedule(make_plan("case", folder(tmp_path), threads=1))
    cold = [i for i, item in enumerate(launches) if "compile-cold" in item.purposes]
    for i in cold:
        assert launches[i + 1].purposes == ("compile-warm", "memory")
        assert (launches[i + 1].variant, launches[i + 1].tasks) == (launches[i].variant, launches[i].tasks)


def test_a_quick_plan_has_fewer_processes_and_every_figure(tmp_path: Path) -> None:
    quick, full = (make_plan("case", folder(tmp_path), quick=q, threads=1) for q in (True, False))
    assert len(schedule(quick)) < len(schedule(full)) / 4
    assert len(schedule(quick)) == 3 * quick.blocks


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
@pytest.mark.parametrize("tasks", [("train", "infer"), ("infer",)])
def test_a_quick_plan_makes_every_purpose_of_every_task(tmp_path: Path, blocks: int, tasks: tuple[str, ...]) -> None:
    launches = schedule(make_plan("case", folder(tmp_path), quick=True, blocks=blocks, tasks=tasks, threads=1))
    made = Counter((t, item.variant.name, p) for item in launches for t in item.tasks for p in item.purposes_of(t))
    for variant in ("torch eager", "torch compile", "jax jit"):
        for task in tasks:
            assert made[task, variant, "time"] == blocks
            assert made[task, variant, "memory"] == made[task, variant, "compile-cold"] == 1
            assert made[task, variant, "compile-warm"] == (blocks > 1)


def test_memory_is_weighed_of_the_first_task_of_a_process(tmp_path: Path) -> None:
    for item in schedule(make_plan("case", folder(tmp_path), quick=True, threads=1)):
        assert "memory" not in item.purposes_of(item.tasks[1])
        assert "memory" not in item.purposes or item.block > 0


def test_the_key_changes_with_plan_conversion_case_and_machine(tmp_path: Path) -> None:
    plan = make_plan("case", folder(tmp_path), threads=1)
    key = run_key(plan, tmp_path, "case", {"cpu": "x"})
    assert key == run_key(plan, tmp_path, "case", {"cpu": "x"})
    others = {
        run_key(replace(plan, seed=1), tmp_path, "case", {"cpu": "x"}),
        run_key(plan, tmp_path, "other", {"cpu": "x"}),
        run_key(plan, tmp_path, "case", {"cpu": "y"}),
    }
    (tmp_path / "README.md").write_text("words", encoding="utf-8")
    assert key == run_key(plan, tmp_path, "case", {"cpu": "x"})
    (tmp_path / "model.py").write_text("class Model: x = 1\n", encoding="utf-8")
    others.add(run_key(plan, tmp_path, "case", {"cpu": "x"}))
    assert len(others) == 4
    assert key not in others


def test_the_key_changes_with_the_persons_file(tmp_path: Path) -> None:
    plan = make_plan("case", folder(tmp_path), threads=1)
    source = tmp_path / "mine" / "model.py"
    source.parent.mkdir()
    source.write_text("a = 1\n", encoding="utf-8")
    before = run_key(plan, tmp_path, f"{source}:case", {})
    source.write_text("a = 2\n", encoding="utf-8")
    after = run_key(plan, tmp_path, f"{source}:case", {})
    (source.parent / "layers.py").write_text("b = 1\n", encoding="utf-8")  # which the file may import
    assert len({before, after, run_key(plan, tmp_path, f"{source}:case", {})}) == 3


def test_tasks_follow_from_the_case(tmp_path: Path) -> None:
    assert make_plan("c", folder(tmp_path), threads=1).tasks == ("train", "infer")
    assert make_plan("c", folder(tmp_path, has_loss=True, optimizer=None), threads=1).tasks == ("infer",)
    with pytest.raises(BadPlan, match="no training step") as caught:
        make_plan("c", tmp_path, tasks=["train"], threads=1)
    assert "infer" in caught.value.next


def test_the_reference_is_torch_eager_if_it_is_there(tmp_path: Path) -> None:
    path = folder(tmp_path)
    assert make_plan("c", path, variants=["jax-jit", "torch-eager"], threads=1).reference == Variant("torch", "eager")
    assert make_plan("c", path, variants=["jax jit", "torch:compile"], threads=1).reference == Variant("jax", "jit")


def test_variant_names() -> None:
    assert parse_variant("JAX op-by-op") == parse_variant("jax-op-by-op") == Variant("jax", "op-by-op")
    with pytest.raises(BadPlan, match="unknown variant") as caught:
        parse_variant("jax eager")
    assert "jax-jit" in caught.value.next


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"tasks": ["predict"]}, "unknown task"),
        ({"precision": "float8"}, "unknown precision"),
        ({"blocks": 0}, "blocks must lie between"),
        ({"steps": 1}, "steps must lie between"),
        ({"threads": 100_000}, f"threads must lie between 1 and {len(available_cpus())}"),
        ({"margin": 1.5}, "margin must lie between 0 and 1"),
    ],
)
def test_bad_wishes_are_refused(tmp_path: Path, wish: dict[str, object], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        make_plan("c", folder(tmp_path), **wish)  # type: ignore[arg-type]


def test_a_folder_without_a_conversion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="no conversion here"):
        make_plan("c", tmp_path)
