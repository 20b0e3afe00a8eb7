"""`regauge.to_jax`: the public path from a torch module to a JAX model, in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from modes import Branches, Tied
from same_names import SameNames
from tiny_vit import TinyViT
from torch import nn

import regauge
from regauge.errors import BadCase, UnsupportedOps


def distance(found: object, expected: torch.Tensor) -> float:
    """Relative to the norm of what torch gives."""
    reference = expected.detach().double().numpy()
    return float(np.linalg.norm(np.asarray(found, np.float64) - reference) / np.linalg.norm(reference))


def test_outputs_for_other_batch_sizes():
    torch.manual_seed(0)
    model = TinyViT().eval()
    converted = regauge.to_jax(model, (torch.randn(2, 3, 32, 32),))
    for batch in (1, 3, 7):
        images = torch.randn(batch, 3, 32, 32)
        assert distance(converted(images.numpy()), model(images)) < 1e-5


def test_classes_called_like_copied_ones_keep_their_names():
    torch.manual_seed(0)
    model, images = SameNames().eval(), torch.randn(3, 3, 8, 8)
    converted = regauge.to_jax(model, (images,))
    assert distance(converted(images.numpy()), model(images)) < 1e-5
    assert "class BatchNorm(nnx.Module):  # same_names.py" in converted.source


def test_layer_norm_far_from_zero_keeps_its_digits():
    torch.manual_seed(0)
    model, x = nn.LayerNorm(64).eval(), 1000 + torch.randn(8, 64)
    converted = regauge.to_jax(model, (x,))
    exact = model.double()(x.double()).float()
    own, theirs = distance(converted(x.numpy()), exact), distance(model.float()(x).detach(), exact)
    assert own <= 4 * theirs  # the mean of squares less the squared mean is 100 times further away


def test_gradients_of_apply_are_those_of_torch():
    torch.manual_seed(0)
    model = Tied()
    tokens = torch.randint(0, 11, (3, 5))
    converted = regauge.to_jax(model, (tokens,))
    model.eval()(tokens).square().sum().backward()

    def loss(params):
        outputs, _ = converted.apply(params, converted.state, jnp.asarray(tokens.numpy()))
        return (outputs**2).sum()

    gradients = jax.jit(jax.grad(loss))(converted.params)
    assert distance(gradients["embed"]["embedding"][...], model.embed.weight.grad) < 1e-5
    assert distance(gradients["layer"]["kernel"][...], model.layer.weight.grad.T) < 1e-5
    assert distance(gradients["layer"]["bias"][...], model.layer.bias.grad) < 1e-5


def test_training_mode_moves_state_and_streams():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    x = torch.randn(64, 4)
    converted = regauge.to_jax(model, (x,), train=True)
    before = jax.tree.map(np.asarray, nnx_arrays(converted.state))
    first, second = converted(x.numpy()), converted(x.numpy())
    model.train()(x)
    model(x)
    assert not np.array_equal(first, second), "dropout drew the same mask twice"
    statistics = [leaf for leaf in jax.tree.leaves(nnx_arrays(converted.state)) if leaf.shape == (6,)]
    wanted = [model[1].running_mean.numpy(), model[1].running_var.numpy()]
    assert all(any(np.allclose(leaf, w, rtol=1e-5, atol=1e-6) for leaf in statistics) for w in wanted)
    assert jax.tree.leaves(before), "there was no state"


def nnx_arrays(state: object) -> object:
    """The arrays of a state whose keys have dtypes that numpy does not know."""
    return [leaf for leaf in jax.tree.leaves(state) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]


def test_a_key_decides_what_dropout_does():
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5))
    converted = regauge.to_jax(model, (torch.randn(8, 4),), train=True)
    x = np.ones((8, 4), np.float32)
    a, _ = converted.apply(converted.params, converted.state, x, rng=jax.random.key(1))
    b, _ = converted.apply(converted.params, converted.state, x, rng=jax.random.key(1))
    c, _ = converted.apply(converted.params, converted.state, x, rng=jax.random.key(2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


class Scales(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x, scale):
        return torch.tanh(self.layer(x)) * scale


class CallsTwice(nn.Module):
    """One module, called with two settings, and once under `no_grad`: three different functions with its weights."""

    def __init__(self):
        super().__init__()
        self.scales = Scales()
        self.block = Scales()

    def forward(self, x):
        with torch.no_grad():
            x = x + self.block(x, 1.0)
        return self.block(self.scales(x, 2.0) + self.scales(2 * x, 3.0), 1.0)


def test_calls_of_one_module_that_differ_stay_different():
    torch.manual_seed(0)
    model, x = CallsTwice(), torch.randn(5, 4)
    converted = regauge.to_jax(model, (x,))
    assert distance(converted(x.numpy()), model(x)) < 1e-6
    model(x).square().sum().backward()
    gradients = jax.grad(lambda p: (converted.apply(p, converted.state, jnp.asarray(x.numpy()))[0] ** 2).sum())(
        converted.params
    )
    assert distance(gradients["scales"]["layer"]["kernel"][...], model.scales.layer.weight.grad.T) < 1e-5
    assert distance(gradients["block"]["layer"]["kernel"][...], model.block.layer.weight.grad.T) < 1e-5


class Shifts(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return torch.tanh(self.layer(x)) + torch.tensor(0.5)


class ShiftsTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.shifts = Shifts()

    def forward(self, x):
        return self.shifts(self.shifts(x))


def test_calls_of_one_module_that_make_the_same_tensor_are_one_class():
    model, x = ShiftsTwice(), torch.randn(5, 4)
    converted = regauge.to_jax(model, (x,))
    assert "class Shifts(nnx.Module)" in converted.source
    assert distance(converted(x.numpy()), model(x)) < 1e-6


class AlwaysDrops(nn.Module):
    """`F.dropout` and attention without a switch drop in evaluation too, whatever their author meant."""

    def __init__(self):
        super().__init__()
        self.switched = nn.Dropout(0.5)

    def forward(self, x):
        heads = F.dropout(x, 0.25)[:, None]
        return self.switched(x), heads[:, 0], F.scaled_dot_product_attention(heads, heads, heads, dropout_p=0.5)


@pytest.mark.parametrize("train", [False, True])
def test_dropout_without_a_switch_drops_in_evaluation(train):
    converted = regauge.to_jax(AlwaysDrops(), (torch.ones(64, 8, 4),), train=train)
    converted.module.eval()
    outputs = [np.asarray(out) for out in converted.module(np.ones((64, 8, 4), np.float32))]
    assert np.array_equal(outputs[0], np.ones((64, 8, 4))), "nn.Dropout is off in evaluation"
    assert 0.2 < np.mean(outputs[1] == 0) < 0.3
    assert np.unique(outputs[2].round(5)).size > 1, "equal rows stay equal unless weights are dropped"


def test_one_module_serves_both_modes():
    torch.manual_seed(0)
    model = Branches()
    x = torch.randn(256, 8)
    converted = regauge.to_jax(model, (x,), train=True)
    assert "if self.deterministic:" in converted.source
    outputs = np.asarray(converted(x.numpy()))
    skipped = np.isclose(outputs, x.numpy()).all(axis=1)
    assert 0.1 < skipped.mean() < 0.4, "a quarter of the branches should be skipped"
    kept = x + model.inner(x) / 0.75
    assert np.allclose(outputs[~skipped], kept.detach().numpy()[~skipped], rtol=1e-5, atol=1e-5)
    converted.module.eval()
    evaluated = converted.module(jnp.asarray(x.numpy()))
    assert distance(evaluated, model.eval()(x)) < 1e-5


def test_a_counter_is_state():
    model = Tied().train()
    tokens = torch.zeros(2, 3, dtype=torch.long)
    converted = regauge.to_jax(model, (tokens,), train=True)
    converted(tokens.numpy())
    converted(tokens.numpy())
    assert int(converted.state["steps"][...]) == 2
    assert int(model.steps) == 0, "capture changed the original"


def test_keyword_and_positional_arguments():
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, *, factor: torch.Tensor, shift: float = 1.0) -> dict[str, torch.Tensor]:
            return {"y": x * factor + shift}

    x, factor = torch.randn(3, 2), torch.tensor(2.0)
    converted = regauge.to_jax(Scaled(), (x,), {"factor": factor})
    assert distance(converted(x=x.numpy(), factor=factor.numpy())["y"], x * 2 + 1) < 1e-6


def test_functions_convert_too():
    def softcap(x: torch.Tensor) -> torch.Tensor:
        return 30 * torch.tanh(x / 30)

    x = torch.randn(5, 3) * 40
    assert distance(regauge.to_jax(softcap, (x,))(x.numpy()), softcap(x)) < 1e-6


def test_unsupported_operators_are_listed_at_once():
    class Exotic(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nonzero(x).sum() + torch.unique(x).sum()

    with pytest.raises((UnsupportedOps, regauge.RegaugeError)) as raised:
        regauge.to_jax(Exotic(), (torch.randn(4, 4),))
    assert "nonzero" in str(raised.value)


def test_arguments_must_be_a_tuple():
    with pytest.raises(BadCase, match="tuple"):
        regauge.to_jax(nn.Linear(2, 2), torch.randn(2, 2))  # type: ignore[arg-type]


def test_saved_folder_runs_without_torch_and_regauge(tmp_path: Path):
    import subprocess
    import sys

    torch.manual_seed(0)
    model = TinyViT()
    folder = regauge.to_jax(model, (torch.randn(2, 3, 32, 32),)).save(tmp_path / "saved")
    block = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'regauge'):\n"
        "            raise ImportError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Block())\n"
        "import runpy\n"
        "runpy.run_path('test_equivalence.py', run_name='__main__')\n"
        "assert 'torch' not in sys.modules and 'regauge' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "equal" in done.stdout


def test_names_of_sizes_are_not_names_of_arrays():
    """A person may call an array `batch`, and their object something other than `self`."""

    class Inner(nn.Module):
        def __init__(this) -> None:
            super().__init__()
            this.linear = nn.Linear(4, 4)

        def forward(this, batch: torch.Tensor) -> torch.Tensor:
            return this.linear(batch) + torch.ones(batch.shape[0], 4)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            batch = self.inner(x * 2)
            other = batch * 2
            return torch.ones(x.shape[0], 4) + batch + other

    torch.manual_seed(0)
    model, x = Outer(), torch.randn(3, 4)
    converted = regauge.to_jax(model, (x,))
    assert distance(converted(x.numpy()), model(x)) < 1e-6
    assert "this" not in converted.source


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = torch.fft.fft(x * self.filter)
        return z * torch.polar(torch.ones_like(x), x), z.abs()


def test_a_model_gives_complex_numbers_and_its_folder_tests_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original, x = Spectrum(), torch.randn(4, 8)
    converted = regauge.to_jax(original, (x,))
    for got, wanted in zip(converted(x.numpy()), original(x), strict=True):
        np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-5, atol=1e-5)
    converted.save(tmp_path / "spectrum")
    model = tmp_path / "spectrum" / "model.py"

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "test_equivalence.py"]
        return subprocess.run(command, cwd=model.parent, capture_output=True, text=True, timeout=300)

    assert run().returncode == 0, run().stderr
    model.write_text(model.read_text().replace("jnp.sin", "-jnp.sin"))
    assert "outputs.0: off by" in run().stderr


class Sampler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(4, 3)

    def forward(self, x):
        mean = self.mean(x)
        return mean + torch.randn_like(mean), mean


def test_the_folder_of_a_model_that_draws_tests_what_is_not_random(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "sampler"
    regauge.to_jax(Sampler(), (torch.randn(2, 4),)).save(folder)

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "test_equivalence.py"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)

    assert run().returncode == 0, run().stderr
    model = folder / "model.py"
    model.write_text(model.read_text().replace("self.mean(x)", "0.5 * self.mean(x)"))
    assert "outputs.1: off by" in run().stderr
