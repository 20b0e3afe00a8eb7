"""Running a plan with workers that are played: order, failures, give-up, interrupt and resume, cost of the parent."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from played import CASE, PlayedWorkers

from regauge.errors import BadCase, OutputError, WorkerFailed
from regauge.measure.plan import make_plan, schedule
from regauge.measure.result import Measurement, MeasurementPlan, launched_seconds
from regauge.measure.runner import run_plan
from regauge.measure.statistics import compute_effects
from regauge.measure.store import Store
from regauge.progress import Stopped


def plan_of(folder: Path, **options: Any) -> MeasurementPlan:
    options = {"variants": ["torch eager", "jax jit"], "threads": 1, "blocks": 6, **options}
    return make_plan(CASE, folder, **options)


def only(measurements: list[Measurement], **fields: object) -> list[Measurement]:
    return [m for m in measurements if all(getattr(m, name) == value for name, value in fields.items())]


def test_every_launch_of_the_plan_is_made_and_stored(folder: Path, tmp_path: Path) -> None:
    plan, workers, store = plan_of(folder), PlayedWorkers(), Store(tmp_path / "out")
    seen: list[tuple[int, int, float | None, str]] = []
    found = run_plan(plan, CASE, folder, store, launcher=workers, progress=lambda *step: seen.append(step))
    launches = schedule(plan)
    assert len(workers.jobs) == len(launches)
    assert [job["mode"] for job in workers.jobs] == [item.variant.mode for item in launches]
    assert len(found) == sum(len(item.tasks) * len(item.purposes) for item in launches)
    assert {m.status for m in found} == {"ok"}
    assert all(m.samples == () for m in found if m.purpose != "time")
    assert all(m.memory == {} for m in found if m.purpose != "memory")
    assert only(found, purpose="memory")[0].memory == {"host_peak": 7}
    assert Store(tmp_path / "out").load() == found
    assert store.index.is_file()
    assert not (tmp_path / "out" / "work").exists()
    assert seen[-1] == (len(launches), len(launches), 0.0, "")
    assert [step[0] for step in seen[1:]] == list(range(len(launches) + 1))
    assert seen[-2][2] is not None
    assert {effect.verdict for effect in compute_effects(plan, found)} == {"faster"}


def test_workers_are_given_equal_threads_and_separate_caches(folder: Path, tmp_path: Path) -> None:
    workers = PlayedWorkers()
    run_plan(plan_of(folder), CASE, folder, Store(tmp_path / "out"), launcher=workers)
    assert set(workers.cpus) == {1}
    assert len(os.sched_getaffinity(0)) >= 1
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
        assert {variables[name] for variables in workers.variables} == {"1"}
    caches = {
        (j["mode"], *j["tasks"], v["TORCHINDUCTOR_CACHE_DIR"])
        for j, v in zip(workers.jobs, workers.variables, strict=True)
    }
    assert len(caches) == 4
    assert len({variables["PYTHONHASHSEED"] for variables in workers.variables}) > len(workers.jobs) / 2


def test_a_cold_start_finds_empty_caches_and_the_warm_one_what_it_left(folder: Path, tmp_path: Path) -> None:
    content: dict[str, list[int]] = {}

    def leave_a_program(framework: str, job: dict[str, Any]) -> None:
        cache = Path(workers.variables[-1]["JAX_COMPILATION_CACHE_DIR"])
        content.setdefault(job["purposes"][0], []).append(len(list(cache.iterdir())))
        (cache / "program").write_text("", encoding="utf-8")

    workers = PlayedWorkers(leave_a_program)
    run_plan(plan_of(folder), CASE, folder, Store(tmp_path / "out"), launcher=workers)
    assert set(content["compile-cold"]) == {0}
    assert set(content["compile-warm"]) == {1}


def test_a_second_call_makes_no_launch(folder: Path, tmp_path: Path) -> None:
    run_plan(plan_of(folder), CASE, folder, Store(tmp_path / "out"), launcher=PlayedWorkers())
    again = PlayedWorkers()
    found = run_plan(plan_of(folder), CASE, folder, Store(tmp_path / "out"), launcher=again)
    assert again.jobs == []
    assert {m.status for m in found} == {"ok"}


@pytest.mark.parametrize("after", [0, 7, 19, 30])
def test_an_interrupt_keeps_what_is_done_and_the_next_call_makes_the_rest(
    folder: Path, tmp_path: Path, after: int
) -> None:
    plan = plan_of(folder)

    def interrupt(framework: str, job: dict[str, Any]) -> None:
        if len(first.jobs) > after:
            raise KeyboardInterrupt

    first, second = PlayedWorkers(interrupt), PlayedWorkers()
    with pytest.raises(Stopped) as stopped:
        run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=first)
    kept = Store(tmp_path / "out")
    assert len({(m.started, m.variant) for m in kept.load()}) <= after
    assert len(kept.load()) >= after
    found = run_plan(plan, CASE, folder, kept, launcher=second)
    total = len(schedule(plan))
    # an incomplete block is paired again as a whole: at most one launch of two variants is made twice
    assert total <= len(first.jobs) - 1 + len(second.jobs) <= total + 1
    assert (stopped.value.kept, stopped.value.launches) == (total - len(second.jobs), total)
    assert stopped.value.made == after
    assert {m.status for m in found} == {"ok"}
    assert len(found) == sum(len(item.tasks) * len(item.purposes) for item in schedule(plan))


def test_a_launch_that_dies_is_a_result_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    def die_once(framework: str, job: dict[str, Any]) -> None:
        if framework == "jax" and job["tasks"] == ["train"] and "time" in job["purposes"] and not died:
            died.append(1)
            raise WorkerFailed("the jax worker was killed (signal 9)", details=["last words"], next="a smaller batch")

    died: list[int] = []
    plan, store = plan_of(folder), Store(tmp_path / "out")
    found = run_plan(plan, CASE, folder, store, launcher=PlayedWorkers(die_once))
    (failed,) = [m for m in found if m.status != "ok"]
    assert (failed.variant, failed.task, failed.purpose, failed.status) == ("jax jit", "train", "time", "failed")
    assert failed.error is not None
    assert failed.error["details"] == ["last words"]
    effects = {effect.task: effect for effect in compute_effects(plan, found)}
    assert (effects["train"].blocks, effects["infer"].blocks) == (5, 6)
    again = PlayedWorkers()
    mended = run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=again)
    assert [(j["mode"], j["tasks"]) for j in again.jobs].count(("jit", ["train"])) == 1
    assert len(again.jobs) == 2
    assert {m.status for m in mended} == {"ok"}


def test_a_variant_that_runs_out_of_time_is_given_up_after_two_launches(folder: Path, tmp_path: Path) -> None:
    def hang(framework: str, job: dict[str, Any]) -> None:
        if framework == "jax":
            raise WorkerFailed("the jax worker did not finish within 1 s and was stopped", code="P120")

    workers = PlayedWorkers(hang)
    found = run_plan(plan_of(folder, tasks=["infer"]), CASE, folder, Store(tmp_path / "out"), launcher=workers)
    assert sum(job["framework"] == "jax" for job in workers.jobs) == 2
    jax = only(found, variant="jax jit")
    assert {m.status for m in jax} == {"timed out", "skipped"}
    assert all(m.error is not None and m.error["code"] == "P120" for m in jax)
    assert {m.status for m in only(found, variant="torch eager")} == {"ok"}


def test_a_gate_that_is_not_passed_is_failed_never_timed_and_not_tried_again(folder: Path, tmp_path: Path) -> None:
    def refuse(framework: str, job: dict[str, Any]) -> None:
        if framework == "jax":
            raise WorkerFailed("the first step does not give what the original gives", code="M120")

    plan = plan_of(folder, tasks=["infer"])
    found = run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=PlayedWorkers(refuse))
    assert all(m.samples == () for m in only(found, variant="jax jit"))
    assert "failed" in {m.status for m in only(found, variant="jax jit")}
    assert compute_effects(plan, found)[0].verdict == "not comparable"
    again = PlayedWorkers(refuse)
    run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=again)
    assert again.jobs == []


def test_a_task_that_fails_leaves_the_other_task_of_its_process(folder: Path, tmp_path: Path) -> None:
    class HalfFailing(PlayedWorkers):
        def __call__(self, framework: str, job: dict[str, Any], **options: Any) -> dict[str, Any]:
            result = super().__call__(framework, job, **options)
            if framework == "jax" and "train" in job["tasks"]:
                error = WorkerFailed("the first step does not give what the original gives", code="M120")
                result["tasks"]["train"] = {"error": error.to_json()}
            return result

    workers, plan = HalfFailing(), plan_of(folder, quick=True, blocks=4)
    found = run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=workers)
    timed = only(found, variant="jax jit", purpose="time")
    assert [m.status for m in timed if m.task == "infer"] == ["ok"] * 4
    assert [m.status for m in timed if m.task == "train"] == ["failed", "failed", "skipped", "skipped"]
    assert all(job["tasks"] == ["infer"] for job in workers.jobs[-1:] if job["framework"] == "jax")
    verdicts = {effect.task: effect.verdict for effect in compute_effects(plan, found)}
    assert verdicts["train"] == "not comparable"
    assert verdicts["infer"] != "not comparable"


def test_what_is_missing_on_this_machine_is_skipped_with_the_next_step(folder: Path, tmp_path: Path) -> None:
    def without_compiler(framework: str, job: dict[str, Any]) -> None:
        if job["mode"] == "compile":
            raise WorkerFailed("torch.compile needs a C++ compiler and finds none", code="M130", next="install g++")

    workers = PlayedWorkers(without_compiler)
    plan = plan_of(folder, variants=["torch eager", "torch compile"])
    found = run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=workers)
    compiled = only(found, variant="torch compile")
    assert {m.status for m in compiled} == {"skipped"}
    assert {(m.error or {})["next"] for m in compiled} == {"install g++"}
    assert sum(job["mode"] == "compile" for job in workers.jobs) == 2  # one for each task


def test_a_bad_case_ends_the_run(folder: Path, tmp_path: Path) -> None:
    def spoil(framework: str, job: dict[str, Any]) -> None:
        raise BadCase("no such file: case.py")

    with pytest.raises(BadCase, match="no such file"):
        run_plan(plan_of(folder), CASE, folder, Store(tmp_path / "out"), launcher=PlayedWorkers(spoil))
    assert Store(tmp_path / "out").load() == []


def test_a_disk_that_fills_up_ends_the_run_in_words(folder: Path, tmp_path: Path) -> None:
    def fill(framework: str, job: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device", job["out"])

    with pytest.raises(OutputError, match="No space left"):
        run_plan(plan_of(folder), CASE, folder, Store(tmp_path / "out"), launcher=PlayedWorkers(fill))


def test_the_parent_costs_little(folder: Path, tmp_path: Path) -> None:
    """Statistics, store and progress of a full plan: under a tenth of launches of one second, a short launch."""
    plan = plan_of(folder, blocks=20)
    start = time.perf_counter()
    found = run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=PlayedWorkers())
    compute_effects(plan, found)
    assert time.perf_counter() - start < 0.1 * len(schedule(plan))


def test_a_launch_for_several_tasks_counts_once(folder: Path, tmp_path: Path) -> None:
    def take_time(framework: str, job: dict[str, Any]) -> None:
        time.sleep(0.02)

    plan, workers = plan_of(folder, quick=True, blocks=2), PlayedWorkers(take_time)
    start = time.monotonic()
    found = run_plan(plan, CASE, folder, Store(tmp_path / "out"), launcher=workers)
    assert 0.02 * len(workers.jobs) <= launched_seconds(found) <= time.monotonic() - start
