"""Real launches of the hand-made conversion: both frameworks, the gate, crashing and hanging workers."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from regauge.measure.plan import Launch, make_plan
from regauge.measure.result import Measurement, MeasurementPlan, Variant
from regauge.measure.runner import run_launches
from regauge.measure.store import Store

HANDMADE = Path(__file__).parents[1] / "fixtures" / "handmade"
EAGER, JIT = Variant("torch", "eager"), Variant("jax", "jit")


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handmade") / "conversion"
    subprocess.run([sys.executable, str(HANDMADE / "build.py"), str(folder)], check=True)
    return folder


def plan_of(conversion: Path, **options: object) -> MeasurementPlan:
    return make_plan("SmallNet", conversion, threads=1, steps=5, **options)  # type: ignore[arg-type]


def run(plan: MeasurementPlan, launches: list[Launch], folder: Path, out: Path, case: Path) -> list[Measurement]:
    return run_launches(plan, launches, f"{case}:case", folder, Store(out))


def timed(variant: Variant, *tasks: str) -> Launch:
    return Launch(variant, tasks or ("train", "infer"), ("time",), 0, 0)


def test_both_frameworks_are_timed_after_the_gate(conversion: Path, tmp_path: Path) -> None:
    plan = plan_of(conversion)
    found = run(plan, [timed(EAGER), timed(JIT)], conversion, tmp_path, HANDMADE / "original.py")
    assert [(m.variant, m.task, m.status) for m in found] == [
        (variant, task, "ok") for variant in ("torch eager", "jax jit") for task in ("train", "infer")
    ]
    for m in found:
        assert m.error is None
        assert len(m.samples) == 5
        assert all(1e-6 < sample < 1.0 for sample in m.samples)
        assert 0 < m.gate["ratio"] <= 1
        assert {"import", "build", "first_step", "second_step", "third_step"} <= m.phases.keys()
        assert sum(m.phases[name] for name in ("import", "build", "first_step")) < m.seconds
        assert m.environment["device"]["kind"] in ("cpu", "gpu")
        assert m.environment["precision"]["matmul"] == "highest"
        assert m.environment["busy_cpus"] < 1.5
    assert {m.environment["threads"] for m in found if m.variant == "torch eager"} == {1}
    # with dropout the loss is judged by its spread over seeds, and the update by what all of them moved
    train = next(m for m in found if m.task == "train")
    assert set(train.gate["distances"]) == {"loss", "update"}
    assert "seeds" in train.gate["note"]


@pytest.mark.parametrize(
    ("file", "find", "put", "tasks"),
    [
        ("model.py", "epsilon=1e-5, momentum", "epsilon=1e-3, momentum", ("infer",)),
        ("train.py", "optax.adamw(3e-3", "optax.adamw(3e-4", ("train",)),
        pytest.param("train.py", ", axis=1).mean()", ", axis=1).sum()", ("train",), marks=pytest.mark.slow),
    ],
)
def test_a_conversion_that_computes_something_else_is_never_timed(
    conversion: Path, tmp_path: Path, file: str, find: str, put: str, tasks: tuple[str, ...]
) -> None:
    wrong = shutil.copytree(conversion, tmp_path / "wrong")
    text = (wrong / file).read_text(encoding="utf-8")
    assert find in text
    (wrong / file).write_text(text.replace(find, put), encoding="utf-8")
    (m,) = run(plan_of(wrong), [timed(JIT, *tasks)], wrong, tmp_path / "out", HANDMADE / "original.py")
    assert (m.status, m.samples) == ("failed", ())
    assert m.error is not None
    assert m.error["code"] == "M120"
    assert re.search(r"(outputs|loss|update): [0-9.e+-]+ from float64; the limit is", m.error["received"])


def test_workers_that_die_or_hang_are_recorded_with_their_last_output(conversion: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(conversion, tmp_path / "broken")
    text = (broken / "model.py").read_text(encoding="utf-8")
    marker = tmp_path / "died once"
    act = f"""import os, pathlib, time
print("the last words", flush=True)
if pathlib.Path({str(marker)!r}).exists():
    time.sleep(600)
pathlib.Path({str(marker)!r}).touch()
os.kill(os.getpid(), 9)
"""
    (broken / "model.py").write_text(act + text.partition('"""\n\n')[2], encoding="utf-8")
    plan = replace(plan_of(broken, tasks=["infer"]), timeout=25.0)
    launches = [replace(timed(JIT, "infer"), block=block) for block in range(3)]
    killed, hanging, given_up = run(plan, launches, broken, tmp_path / "out", HANDMADE / "original.py")
    assert (killed.status, hanging.status, given_up.status) == ("failed", "timed out", "skipped")
    assert killed.error is not None
    assert hanging.error is not None
    assert "killed (signal 9)" in killed.error["what"]
    assert "did not finish within 25 s" in hanging.error["what"]
    assert killed.error["details"] == hanging.error["details"] == ["the last words"]
    assert hanging.seconds >= 25


def test_torch_compile_without_a_compiler_is_skipped_with_the_next_step(
    conversion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/c++")
    launches = [timed(Variant("torch", "compile"), "infer")]
    (m,) = run(plan_of(conversion), launches, conversion, tmp_path, HANDMADE / "original.py")
    assert (m.status, m.samples) == ("skipped", ())
    assert m.error is not None
    assert m.error["what"] == "torch.compile needs a C++ compiler and finds none"
    assert "install g++ or clang++" in m.error["next"]


def test_an_interrupt_stops_the_worker_and_keeps_the_store(conversion: Path, tmp_path: Path) -> None:
    # a runner in the background may have SIGINT ignored, which children inherit
    script = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from regauge.measure import Store, make_plan, run_plan
folder = Path({str(conversion)!r})
plan = make_plan("SmallNet", folder, tasks=["infer"], variants=["torch eager"], blocks=50, steps=5, threads=1)
run_plan(plan, {f"{HANDMADE / 'original.py'}:case"!r}, folder, Store(Path({str(tmp_path)!r})))
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    lines = tmp_path / "measurements.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (lines.is_file() and lines.read_bytes().count(b"\n") >= 2):
        time.sleep(0.05)
    while time.monotonic() < deadline and not (workers := psutil.Process(parent.pid).children()):
        time.sleep(0.01)
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=30)
    assert parent.returncode != 0
    assert "KeyboardInterrupt" in said
    assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
    kept = Store(tmp_path)
    assert kept.notes == ()
    assert len(kept.load()) >= 2
    assert {m.status for m in kept.load()} == {"ok"}


@pytest.mark.slow
def test_every_variant_of_a_quick_plan_runs(conversion: Path, tmp_path: Path) -> None:
    from regauge.measure.plan import VARIANTS
    from regauge.measure.runner import run_plan

    plan = plan_of(conversion, quick=True, variants=list(VARIANTS))
    found = run_plan(plan, f"{HANDMADE / 'original.py'}:case", conversion, Store(tmp_path))
    assert {m.status for m in found} == {"ok"}
    assert {(m.variant, m.task) for m in found} == {(v, t) for v in VARIANTS for t in plan.tasks}
    compiled = [m for m in found if m.variant == "torch compile" and m.task == "train"]
    assert all(m.environment["compiled_graphs"] > 0 for m in compiled)
    while_timed = {m.variant for m in found if m.environment.get("compiled_while_timed")}
    assert while_timed <= {"jax op-by-op"}  # its control flow compiles at every step, and the report says so
