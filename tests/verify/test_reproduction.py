"""The file that fails alone: small inputs, both values, exit code 0 once the port is mended."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import regauge
from regauge.errors import BadCase
from regauge.replaying import fit_one_process
from regauge.verify import Check

from .conftest import Handmade

PAIR = Path(__file__).parents[1] / "endtoend" / "pair"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "reproduce"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The fixture as a module that another process finds, too; its text may be mended."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "reproduced_models.py").write_text((FIXTURES / "models.py").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.delitem(sys.modules, "reproduced_models", raising=False)
    return importlib.import_module("reproduced_models")


def checked(original: object, converted: object, out: Path, x: torch.Tensor) -> Check:
    return regauge.check(original, converted, (x,), quick=True, float32=False, out=out)


def run(file: Path, *homes: Path) -> tuple[int, str]:
    """Exit code and output of the file in a process of its own, from another directory."""
    path = os.pathsep.join([*map(str, homes), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=file.parents[1],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr[-2000:]


def inputs_of(file: Path) -> np.ndarray:
    """What stands in the file as ``inputs.0``."""
    found = re.search(r'"inputs\.0": (np\.(?:array|full)\(.*?np\.\w+\))', file.read_text(encoding="utf-8"))
    assert found
    return eval(found[1], {"np": np})


def test_functions_shrink_to_one_element_and_mending_them_passes(models: ModuleType, tmp_path: Path) -> None:
    check = checked(models.gelu, models.tanh_gelu, tmp_path / "out", torch.randn(6, 5, 4))
    file = tmp_path / "out" / "reproduce.py"
    assert check.reproduce == str(file)
    assert Check.from_json(json.loads((file.parent / "check.json").read_text(encoding="utf-8"))) == check
    assert "tanh_gelu" in (file.parent / "check.html").read_text(encoding="utf-8")
    assert inputs_of(file).size <= 4
    assert set(np.unique(inputs_of(file))) <= {-1.0, 0.0, 1.0, 2.0}
    assert len([line for line in file.read_text().splitlines() if line]) < 20
    home = tmp_path / "home"
    code, said = run(file, home)
    assert code == 1, said
    assert "outputs: same function (float64): different" in said
    for side in ("original", "converted"):
        assert re.search(rf"^  {side} +-?\d", said, re.MULTILINE), said
    assert "away from float64 in its own precision" in said
    mended = (
        (home / "reproduced_models.py")
        .read_text()
        .replace(
            "def tanh_gelu(x):\n    return jax.nn.gelu(x, approximate=True)",
            "def tanh_gelu(x):\n    return jax.nn.gelu(x, approximate=False)",
        )
    )
    (home / "reproduced_models.py").write_text(mended)
    code, said = run(file, home)
    assert code == 0, said
    assert "outputs: same function (float64): equal" in said


@pytest.mark.slow
def test_a_difference_of_the_gradient_alone_keeps_the_kink(models: ModuleType, tmp_path: Path) -> None:
    check = checked(models.relu, models.kinked_relu, tmp_path / "out", torch.randn(4, 6))
    file = Path(check.reproduce or "")
    assert "tier 1 input gradients" in file.read_text()
    assert 0.0 in inputs_of(file)
    code, said = run(file, tmp_path / "home")
    assert (code, "inputs.0" in said) == (1, True)


@pytest.mark.slow
def test_modules_take_their_weights_along(models: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(0)
    check = checked(models.Net(), models.Port(), tmp_path / "out", torch.randn(6, 5, 4))
    file = Path(check.reproduce or "")
    assert inputs_of(file).shape == (1, 1, 4)
    assert (file.parent / "weight_map.json").is_file()
    code, said = run(file, tmp_path / "home")
    assert (code, "tensor outputs" in said) == (1, True)


def test_equal_models_leave_no_file_behind(models: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "out"
    checked(models.gelu, models.tanh_gelu, out, torch.randn(2, 3))
    assert (out / "reproduce.py").is_file()
    check = checked(models.relu, torch.relu, out, torch.randn(2, 3))
    assert (check.verdict, check.reproduce) == ("equal", None)
    assert not (out / "reproduce.py").exists()


def test_without_a_place_nothing_is_written(models: ModuleType) -> None:
    check = regauge.check(models.gelu, models.tanh_gelu, (torch.randn(2, 3),), quick=True, float32=False)
    assert (check.verdict, check.reproduce) == ("different", None)


def test_models_that_no_other_process_finds_are_a_finding(models: ModuleType, tmp_path: Path) -> None:
    check = checked(lambda x: torch.tanh(x), models.tanh_gelu, tmp_path, torch.randn(2, 3))
    assert (check.verdict, check.reproduce) == ("different", None)
    said = {finding.code: finding.text for finding in check.findings}
    assert said["V170"].startswith("No file that reproduces the difference was written: the models of this process")


def test_a_shape_on_which_the_port_raises_is_another_difference(models: ModuleType, tmp_path: Path) -> None:
    check = checked(models.gelu, models.raises_on_small, tmp_path / "out", torch.randn(4, 3))
    assert inputs_of(Path(check.reproduce or "")).shape == (2, 1)


def test_large_inputs_lie_beside_the_file(models: ModuleType, tmp_path: Path) -> None:
    from regauge.verify.asking import Question
    from regauge.verify.reproduce_file import Reproduction, text_of, write_reproduction
    from regauge.verify.reproduction import Sources
    from regauge.verify.result import Distance, Tier

    tier = Tier("tier 1 outputs", "different", "eval", distances=(Distance("outputs", 1e-3, 1e-3, 1e-10, False),))
    arrays = {"inputs.0": np.linspace(-1, 1, 100, dtype=np.float32), "inputs.1": np.array([True, False])}
    found = Reproduction(Question("tier 1 outputs", "eval"), tier, arrays)
    sources = Sources("a/net.py:case", "package.port:case", {"converted": "/opt/jax/bin/python"})
    file = write_reproduction(tmp_path, found, sources)
    text = file.read_text()
    assert 'inputs = dict(np.load(Path(__file__).with_name("reproduce.npz")))' in text
    assert "pythons={'converted': '/opt/jax/bin/python'}" in text
    np.testing.assert_array_equal(np.load(tmp_path / "reproduce.npz")["inputs.0"], arrays["inputs.0"])
    compile(text, "reproduce.py", "exec")
    same = Reproduction(found.question, tier, {"inputs.0": np.ones((2, 3), np.int32), "a": np.array([True])})
    assert '"a": np.array([True], bool), "inputs.0": np.full((2, 3), 1, np.int32)' in text_of(same, sources, tmp_path)
    small = Reproduction(found.question, tier, {"inputs.0": np.array([0.1, -2.0], np.float32)})
    assert '{"inputs.0": np.array([0.1, -2.0], np.float32)}' in text_of(small, sources, tmp_path)


def exit_code(file: Path) -> object:
    """The file in this process."""
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file))
    return ended.value.code


def test_weights_alone_are_asked_about_without_inputs(
    models: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"a.weight": "a.kernel", "b.weight": "b.kernel"}
    options = {"quick": True, "float32": False, "weight_map": names, "out": tmp_path}
    check = regauge.check(models.Net(), models.Port(1e-5), (torch.randn(3, 4),), **options)
    file = Path(check.reproduce or "")
    assert "V160" in {finding.code for finding in check.findings}
    assert ('question="weights"' in file.read_text(), "numpy" in file.read_text()) == (True, False)
    assert exit_code(file) == 1
    assert re.search(r"^  tensor [ab]\.(weight|bias)$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.slow
def test_a_wrong_learning_rate_is_reproduced_by_one_step(tmp_path: Path) -> None:
    project = Path(shutil.copytree(FIXTURES.parents[2] / "examples" / "hold-port-equal", tmp_path / "project"))
    port = project / "port.py"
    port.write_text(port.read_text().replace("optax.adamw(1e-3", "optax.adamw(1.001e-3"), encoding="utf-8")
    sides = f"{project / 'net.py'}:case", f"{project / 'port.py'}:case"
    check = regauge.check(*sides, quick=True, out=project / "build")
    file = Path(check.reproduce or "")
    text = file.read_text()
    assert 'question="trajectory AdamW"' in text
    assert "    steps=1," in text
    assert '    "../net.py:case",' in text
    code, said = run(file)
    assert (code, "at last step" in said or "at step 1" in said) == (1, True), said
    port.write_text(port.read_text().replace("1.001e-3", "1e-3"), encoding="utf-8")
    assert run(file)[0] == 0


@pytest.mark.slow
def test_a_conversion_of_our_own_that_was_changed_is_reproduced(
    handmade: Callable[[str], Handmade], tmp_path: Path
) -> None:
    changed = handmade("sgd").copy(tmp_path / "conversion")
    source = changed.folder / "model.py"
    text = source.read_text(encoding="utf-8")
    assert "epsilon=1e-5, momentum" in text
    source.write_text(text.replace("epsilon=1e-5, momentum", "epsilon=1e-6, momentum"), encoding="utf-8")
    work = tmp_path / "work"
    work.mkdir()
    check = changed.check(work, quick=True, float32=False, reproduce=tmp_path)
    file = Path(check.reproduce or "")
    assert '"conversion"' in file.read_text()
    assert "weight_map=" not in file.read_text()
    assert run(file)[0] == 1
    source.write_text(text, encoding="utf-8")
    assert run(file)[0] == 0


def test_what_no_single_input_answers_is_asked_by_a_whole_check(models: ModuleType, tmp_path: Path) -> None:
    found = regauge.testing.replay(*stored(tmp_path, models), question="randomness", mode="train")
    assert (found.question, found.tier.name, found.passed) == ("randomness", "randomness", True)
    with pytest.raises(BadCase, match="the check has no such question"):
        regauge.testing.replay(*stored(tmp_path, models), question="tier 3 outputs", mode="train")
    with pytest.raises(BadCase, match="cannot be asked on these inputs"):
        regauge.testing.replay(*stored(tmp_path, models), {"inputs.0": np.zeros((2, 7))}, question="tier 1 state")


def stored(place: Path, models: ModuleType) -> tuple[str, str]:
    """Two equal models as pickles."""
    net = models.Net()
    names = []
    for name in ("one", "other"):
        path = place / f"{name}.pickle"
        path.write_bytes(pickle.dumps(regauge.Case(net, (torch.zeros(2, 3, 4),))))
        names.append(str(path))
    return names[0], names[1]


def test_modules_of_one_name_in_two_folders_need_two_processes(tmp_path: Path) -> None:
    for folder, names in {"a": ("net", "layers"), "b": ("port", "layers"), "c": ("port", "other")}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.py").write_text("", encoding="utf-8")
    net = f"{tmp_path / 'a' / 'net.py'}:case"
    assert not fit_one_process(net, f"{tmp_path / 'b' / 'port.py'}:case")
    assert fit_one_process(net, f"{tmp_path / 'c' / 'port.py'}:case")
    assert fit_one_process(net, f"{tmp_path / 'a' / 'layers.py'}:case")


@pytest.mark.slow
def test_an_interpreter_of_its_own_for_one_side() -> None:
    found = regauge.testing.replay(
        f"{PAIR / 'torch_side.py'}:case",
        f"{PAIR / 'jax_side.py'}:wrong",
        {"inputs.0": np.zeros((1, 4), np.float32)},
        weight_map={"a.weight": "a.kernel", "b.weight": "b.kernel"},
        pythons={"converted": sys.executable},
    )
    assert not found.passed
    assert found.worst is not None
    assert 1e-10 < found.worst.norm < 1e-3
