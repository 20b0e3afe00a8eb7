"""Workers that answer, raise, crash, hang, are killed or cannot start. No framework: scripts stand in for Python."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time

import pytest

from regauge.errors import BadCase, MissingFramework, WorkerFailed
from regauge.run import launch as launching
from regauge.run.launch import Interpreters, at_once, launch, one_by_one


@pytest.fixture
def worker(tmp_path):
    """Runs a job in a worker whose program is the given text; `job` is what it was sent."""

    def run(program, job=None, **options):
        script = tmp_path / "python"
        header = f"#!{sys.executable}\nimport json, os, signal, sys, time\njob = json.load(open(sys.argv[-1]))\n"
        script.write_text(header + textwrap.dedent(program))
        script.chmod(0o755)
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        return launch("jax", {"out": str(out), **(job or {})}, interpreters=Interpreters(jax=str(script)), **options)

    return run


JOB_MODULE = """
    sys.path.insert(0, os.path.dirname(job["out"]))
    with open(os.path.dirname(job["out"]) + "/jobs_of_the_test.py", "w") as file:
        file.write(job["source"])
    from regauge.run.worker import serve
    sys.exit(serve({"test": "jobs_of_the_test:run"}, sys.argv[-2:]))
"""


def serve(worker, source):
    return worker(JOB_MODULE, {"job": "test", "source": textwrap.dedent(source)})


def test_an_answer(worker):
    assert serve(worker, "def run(job): return {'got': job['job'], 'text': '等价'}") == {"got": "test", "text": "等价"}


def test_the_environment_is_added_to_the_parents(worker, monkeypatch):
    monkeypatch.setenv("OF_THE_PARENT", "1")
    program = """
        reply = {"ok": True, "result": [os.environ["OF_THE_PARENT"], os.environ["OF_THE_JOB"]]}
        json.dump(reply, open(job["out"] + "/reply.json", "w"))
    """
    assert worker(program, environment={"OF_THE_JOB": "2"}) == ["1", "2"]


def test_an_error_of_ours_comes_back_as_itself(worker):
    with pytest.raises(BadCase, match="no such thing") as caught:
        serve(
            worker,
            """
            from regauge.errors import BadCase
            def run(job): raise BadCase("no such thing", where="a.py:3", details=["x"])
            """,
        )
    assert caught.value.where == "a.py:3"
    assert caught.value.details == ("x",)


def test_any_other_exception_comes_back_with_its_traceback(worker):
    with pytest.raises(WorkerFailed, match="KeyError: 'nothing'") as caught:
        serve(worker, "def run(job):\n    return job['nothing']")
    assert "    return job['nothing']" in caught.value.details


@pytest.mark.parametrize("name", ["torch", "jax", "flax", "optax"])
def test_a_framework_that_is_not_installed(worker, name):
    with pytest.raises(MissingFramework, match=f"{name} is not installed") as caught:
        serve(worker, f"raise ModuleNotFoundError('no', name='{name}')")
    assert "--torch-python" in caught.value.next


def test_another_module_that_is_not_installed(worker):
    with pytest.raises(WorkerFailed, match="ModuleNotFoundError: No module named 'no_such_module'"):
        serve(worker, "import no_such_module")


def test_killed_as_for_memory(worker):
    with pytest.raises(WorkerFailed, match=r"was killed \(signal 9\), most likely for memory") as caught:
        worker("print('loading', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    assert caught.value.code == "P100"
    assert caught.value.details == ("loading",)
    assert "smaller batch" in caught.value.next


def test_a_crash(worker):
    with pytest.raises(WorkerFailed, match=r"crashed \(signal 11\)") as caught:
        worker("print('before', flush=True); os.kill(os.getpid(), signal.SIGSEGV)")
    assert "before" in caught.value.details


def test_an_exit_without_a_reply(worker):
    with pytest.raises(WorkerFailed, match="ended with exit code 3 and no reply") as caught:
        worker("print(*range(40), sep='\\n'); sys.exit(3)")
    assert caught.value.details == tuple(map(str, range(28, 40)))  # the last lines of the output


def test_a_worker_that_hangs_is_stopped(worker, tmp_path):
    started = time.monotonic()
    with pytest.raises(WorkerFailed, match="did not finish within 1 s") as caught:
        worker("open(job['out'] + '/pid', 'w').write(str(os.getpid())); print('at work', flush=True); time.sleep(60)",
               timeout=1)  # fmt: skip
    assert time.monotonic() - started < 30
    assert caught.value.code == "P120"
    assert caught.value.details == ("at work",)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "out" / "pid").read_text()), 0)


def test_the_reply_of_an_earlier_job_is_not_taken_for_this_ones(worker, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "reply.json").write_text(json.dumps({"ok": True, "result": "old"}))
    with pytest.raises(WorkerFailed, match="no reply"):
        worker("sys.exit(0)")


def test_an_interpreter_that_does_not_exist(tmp_path):
    with pytest.raises(MissingFramework) as caught:
        launch("torch", {"out": str(tmp_path)}, interpreters=Interpreters(torch=str(tmp_path / "python9")))
    assert str(tmp_path / "python9") in str(caught.value)


def test_an_interpreter_without_regauge(worker):
    with pytest.raises(MissingFramework) as caught:
        worker("print(\"ModuleNotFoundError: No module named 'regauge'\", file=sys.stderr); sys.exit(1)")
    assert "regauge" in caught.value.what


@pytest.fixture
def program(tmp_path):
    """A call that launches a worker whose program is the given text."""

    def make(name, text):
        script, out = tmp_path / name, tmp_path / f"out of {name}"
        header = f"#!{sys.executable}\nimport json, os, signal, sys, time\njob = json.load(open(sys.argv[-1]))\n"
        script.write_text(header + textwrap.dedent(text))
        script.chmod(0o755)
        out.mkdir()
        return lambda: launch("jax", {"out": str(out)}, interpreters=Interpreters(jax=str(script)))

    return make


REPLY = 'json.dump({"ok": True, "result": %r}, open(job["out"] + "/reply.json", "w"))'
MEET = """
    open(job["out"] + "/here", "w").close()
    other = os.path.join(os.path.dirname(job["out"]), "out of %s", "here")
    while not os.path.exists(other):
        time.sleep(0.01)
    json.dump({"ok": True, "result": %r}, open(job["out"] + "/reply.json", "w"))
"""


def test_calls_run_at_the_same_time_and_answer_in_order(program):
    assert at_once([program("a", MEET % ("b", 1)), program("b", MEET % ("a", 2))]) == [1, 2]


@pytest.mark.parametrize("run", [at_once, one_by_one])
def test_a_worker_that_fails_leaves_the_answer_of_the_other(program, run):
    failed, answer = run([program("a", "os.kill(os.getpid(), signal.SIGKILL)"), program("b", REPLY % 2)])
    assert isinstance(failed, WorkerFailed)
    assert "signal 9" in failed.what
    assert answer == 2


def test_other_errors_are_raised_when_all_calls_are_over(program):
    error = BadCase("no such thing").to_json()
    text = f'json.dump({{"ok": False, "error": {error!r}}}, open(job["out"] + "/reply.json", "w"))'
    with pytest.raises(BadCase, match="no such thing"):
        at_once([program("a", text), program("b", REPLY % 2)])


def test_an_interruption_kills_the_workers(program, monkeypatch):
    def interrupted(futures):
        while len(launching._running) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(launching, "wait", interrupted)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        at_once([program("a", "time.sleep(600)"), program("b", "time.sleep(600)")])
    assert time.monotonic() - started < 60
    assert not launching._running
