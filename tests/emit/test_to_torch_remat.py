"""What JAX computes again for its gradient, PyTorch computes again too: nnx.remat, jax.checkpoint, Equinox's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import pytest
import recomputing_jax
import torch
from comparing_jax import as_tensors, assert_same, converted
from flax import nnx

import regauge

SIZE = recomputing_jax.SIZE
X = jax.random.normal(jax.random.key(3), (5, SIZE))
Run = Callable[[Any, Any], Any]


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(SIZE, 2 * SIZE, rngs=rngs)
        self.down = nnx.Linear(2 * SIZE, SIZE, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return x + self.drop(self.down(nnx.gelu(self.up(x))))


class RematBlock(Block):
    @nnx.remat
    def __call__(self, x: Any) -> Any:
        return x + self.drop(self.down(nnx.gelu(self.up(x))))


class JitBlock(Block):
    @nnx.jit
    def __call__(self, x: Any) -> Any:
        return x + self.drop(self.down(nnx.gelu(self.up(x))))


class Stack(nnx.Module):
    """Blocks, and how each is called."""

    def __init__(self, block: Callable[[nnx.Rngs], Any], run: Run) -> None:
        self.blocks = nnx.List([block(nnx.Rngs(number)) for number in range(3)])
        self.run = run

    def __call__(self, x: Any) -> Any:
        for block in self.blocks:
            x = self.run(block, x)
        return x


class Alone(nnx.Module):
    """One block that runs twice: JAX traces it once."""

    def __init__(self, block: Callable[[nnx.Rngs], Any], run: Run) -> None:
        self.block = block(nnx.Rngs(0))
        self.run = run

    def __call__(self, x: Any) -> Any:
        return self.run(self.block, self.run(self.block, x))


def plainly(block: Any, x: Any) -> Any:
    return block(x)


def when_called(block: Any, x: Any) -> Any:
    return nnx.remat(plainly)(block, x)


once_for_all = nnx.remat(plainly)
jitted = nnx.jit(plainly)

WAYS = {
    "a method": (RematBlock, plainly),
    "at the call": (Block, when_called),
    "before the call": (Block, once_for_all),
}


def forward_of(made: Any, name: str) -> str:
    """The text of one class's forward."""
    return str(made.source.split(f"class {name}(")[1].split("def forward")[1].split("\n\n\n")[0])


@pytest.mark.parametrize("way", WAYS)
def test_a_block_that_is_recomputed_keeps_its_layers(way: str) -> None:
    block, run = WAYS[way]
    made = assert_same(Stack(block, run), (X,))
    assert "for block in self.blocks:" in made.source
    assert "x = checkpoint(block, x, use_reentrant=False)" in made.source
    assert "from torch.utils.checkpoint import checkpoint" in made.source
    assert "self.up = nn.Linear(8, 16)" in made.source
    assert "self.drop = nn.Dropout(0.5)" in made.source
    assert not codes(made)


@pytest.mark.parametrize("way", WAYS)
def test_a_block_that_runs_twice_is_recomputed_twice(way: str) -> None:
    made = assert_same(Alone(*WAYS[way]), (X,))
    assert forward_of(made, "Alone").count("checkpoint(self.block, x, use_reentrant=False)") == 2
    assert "self.up = nn.Linear(8, 16)" in made.source
    assert "self.drop = nn.Dropout(0.5)" in made.source


@pytest.mark.parametrize(("block", "run"), [(JitBlock, plainly), (Block, jitted)])
def test_a_jitted_block_keeps_its_layers(block: Any, run: Run) -> None:
    made = assert_same(Stack(block, run), (X,))
    assert "x = block(x)" in made.source
    assert "self.up = nn.Linear(8, 16)" in made.source
    assert "self.drop = nn.Dropout(0.5)" in made.source


def test_capture_leaves_nothing_on_the_model() -> None:
    model = Stack(RematBlock, plainly)
    before = [set(vars(module)) for _, module in nnx.iter_modules(model)]
    regauge.to_torch(model, (X,))
    assert [set(vars(module)) for _, module in nnx.iter_modules(model)] == before


def test_images_stay_channels_first_in_a_block_that_is_recomputed() -> None:
    class Convolves(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.first = nnx.Conv(4, 4, (3, 3), rngs=rngs)
            self.second = nnx.Conv(4, 4, (3, 3), rngs=rngs)

        @nnx.remat
        def __call__(self, x: Any) -> Any:
            return x + self.second(nnx.relu(self.first(x)))

    made = assert_same(Stack(Convolves, plainly), (jax.random.normal(jax.random.key(0), (2, 6, 6, 4)),))
    assert "for block in self.blocks:\n            x = checkpoint(block, x, use_reentrant=False)" in made.source
    assert made.source.count("permute(") == 2


def test_only_the_blocks_that_are_recomputed_are() -> None:
    class Half(Stack):
        def __call__(self, x: Any) -> Any:
            x = self.blocks[0](x)
            return self.blocks[2](when_called(self.blocks[1], x))

    made = assert_same(Half(Block, plainly), (X,))
    text = forward_of(made, "Half")
    assert text.count("checkpoint(self.blocks[1], x, use_reentrant=False)") == text.count("checkpoint(") == 1


def test_linen() -> None:
    case = recomputing_jax.linen_case()
    made = assert_same(case.model, (X,))
    assert "checkpoint(self.block_0, x, use_reentrant=False)" in made.source
    assert "checkpoint(self.block_1, x, use_reentrant=False)" in made.source
    assert "self.up = nn.Linear(8, 32)" in made.source


class EquinoxBlock(eqx.Module):
    up: eqx.nn.Linear
    down: eqx.nn.Linear
    norm: eqx.nn.LayerNorm

    def __init__(self, key: Any) -> None:
        self.up = eqx.nn.Linear(SIZE, 2 * SIZE, key=key)
        self.down = eqx.nn.Linear(2 * SIZE, SIZE, key=key)
        self.norm = eqx.nn.LayerNorm(SIZE)

    def __call__(self, x: Any) -> Any:
        return x + self.down(jax.nn.gelu(self.up(self.norm(x))))


class EquinoxRematBlock(EquinoxBlock):
    @eqx.filter_checkpoint
    def __call__(self, x: Any) -> Any:
        return x + self.down(jax.nn.gelu(self.up(self.norm(x))))


class EquinoxStack(eqx.Module):
    blocks: list[EquinoxBlock]
    run: Run = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        for block in self.blocks:
            x = self.run(block, x)
        return x


@pytest.mark.parametrize(
    ("block", "run"),
    [
        (EquinoxRematBlock, plainly),
        (EquinoxBlock, lambda block, x: eqx.filter_checkpoint(block)(x)),
        (EquinoxBlock, lambda block, x: eqx.filter_checkpoint(plainly)(block, x)),
    ],
    ids=["a method", "the module", "a function of it"],
)
def test_equinox(block: Any, run: Run) -> None:
    model = EquinoxStack([block(jax.random.key(number)) for number in range(2)], run)
    made = assert_same(model, (X[0],))
    assert "x = checkpoint(block, x, use_reentrant=False)" in made.source
    assert "self.up = nn.Linear(8, 16)" in made.source
    assert "self.norm = nn.LayerNorm(8)" in made.source
    assert not any(hasattr(module, "__qualname__") for module in (model, *model.blocks, model.blocks[0].up))


def test_an_equinox_module_that_was_made_recomputed_is_called_so() -> None:
    class Stored(eqx.Module):
        block: Any
        plain: EquinoxBlock

        def __init__(self) -> None:
            self.block = eqx.filter_checkpoint(EquinoxBlock(jax.random.key(0)))
            self.plain = EquinoxBlock(jax.random.key(1))

        def __call__(self, x: Any) -> Any:
            return functools.wraps(self.plain)(lambda y: self.plain(y))(self.block(x))

    model = Stored()
    name = vars(model.block).get("__qualname__")
    made = assert_same(model, (X[0],))
    text = forward_of(made, "Stored")
    assert text.count("checkpoint(") == text.count("checkpoint(self.block, x, use_reentrant=False)") == 1
    assert "self.plain(x)" in text
    assert vars(model.block).get("__qualname__") == name


@pytest.mark.parametrize("train", [False, True])
def test_code_of_one_mode_stays_in_a_block_that_is_recomputed(train: bool) -> None:
    class Scales(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.layer = nnx.Linear(SIZE, SIZE, rngs=rngs)
            self.deterministic = False

        @nnx.remat
        def __call__(self, x: Any) -> Any:
            y = self.layer(x)
            return jnp.sin(y) * 3 if self.deterministic else jnp.cos(jnp.tanh(y) + 1)

    made = assert_same(Stack(Scales, plainly), (X,), train=train)
    assert "if not self.training:" in forward_of(made, "Scales")
    assert "if not self.training:" not in forward_of(made, "Stack")
    assert forward_of(made, "Stack").count("checkpoint(block, x, use_reentrant=False)") == 1


def test_a_chain_runs_its_parts_one_by_one() -> None:
    class Chain(nnx.Module):
        def __init__(self) -> None:
            self.trunk = nnx.Sequential(RematBlock(nnx.Rngs(0)), nnx.relu, RematBlock(nnx.Rngs(1)))

        def __call__(self, x: Any) -> Any:
            return self.trunk(x) * 2

    made = assert_same(Chain(), (X,))
    assert forward_of(made, "Chain").count("checkpoint(self.trunk.") == 2


# functions that are no calls of modules ---------------------------------------------------------------------------


class Holds(nnx.Module):
    """Layers to call."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(SIZE, SIZE, rngs=rngs)
        self.second = nnx.Linear(SIZE, SIZE, rngs=rngs)
        self.qkv = nnx.Linear(SIZE, 3 * SIZE, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)


class Attention(Holds):
    def __call__(self, x: Any) -> Any:
        @jax.checkpoint
        def attend(q: Any, k: Any, v: Any) -> Any:
            weights = jax.nn.softmax(q @ k.T / jnp.sqrt(8.0))
            return weights @ v

        q, k, v = jnp.split(self.qkv(x), 3, -1)
        return x + attend(q, k, v)


class TwoLayers(Holds):
    def __call__(self, x: Any) -> Any:
        @nnx.remat
        def both(model: Holds, x: Any) -> Any:
            h = jnp.tanh(model.first(x))
            return model.drop(model.second(h)), h

        y, h = both(self, x)
        return y + h


class Nested(Holds):
    def __call__(self, x: Any) -> Any:
        @nnx.remat
        def outer(model: Holds, x: Any) -> Any:
            y = jax.checkpoint(lambda x: jnp.sin(jnp.cos(x)))(x * 2)
            return model.second(when_called(model.first, y)) + x

        return outer(self, x)


FUNCTIONS = {
    Attention: ["def attend(q, k, v):", "y = checkpoint(attend, q, k, v, use_reentrant=False)"],
    TwoLayers: ["def both(x):", "self.drop(self.second(", "y, h = checkpoint(both, x, use_reentrant=False)"],
    Nested: [
        "def outer(x):",
        "checkpoint(lambda x: x.cos().sin(), ",
        "checkpoint(self.first, y, use_reentrant=False)",
        "checkpoint(outer, x, use_reentrant=False)",
    ],
}


@pytest.mark.parametrize("model", FUNCTIONS)
def test_a_function_that_is_recomputed_is_a_local_function(model: type[Holds]) -> None:
    made = assert_same(model(), (X,))
    for text in FUNCTIONS[model]:
        assert text in made.source
    assert not codes(made)


def test_a_model_that_is_recomputed_as_a_whole() -> None:
    class Whole(nnx.Module):
        def __init__(self) -> None:
            self.layer = nnx.Linear(SIZE, SIZE, rngs=nnx.Rngs(0))

        @nnx.remat
        def __call__(self, x: Any) -> Any:
            return jnp.tanh(self.layer(x))

    made = assert_same(Whole(), (X,))
    assert "return checkpoint(lambda x: self.layer(x).tanh(), x, use_reentrant=False)" in made.source


def layer(params: Any, x: Any) -> Any:
    return x + jnp.tanh(x @ params["w"] + params["b"])


def network(params: Any, x: Any) -> Any:
    for one in params["layers"]:
        x = jax.checkpoint(layer)(one, x)
    return x


def test_haiku() -> None:
    def whole(x: Any) -> Any:
        for _ in range(2):
            x = hk.remat(lambda x: x + jnp.tanh(hk.Linear(SIZE)(x)))(x)
        return x

    transformed = hk.without_apply_rng(hk.transform(whole))
    made = assert_same((transformed, transformed.init(jax.random.key(0), X)), (X,))
    assert made.source.count("checkpoint(lambda args: args + self.linear") == 2


def test_functions_of_one_name_run_again_as_what_they_were() -> None:
    layers = [{"w": jax.random.normal(jax.random.key(n), (SIZE, SIZE)) / 3, "b": jnp.ones(SIZE) / 9} for n in range(3)]
    made = assert_same((network, {"layers": layers}), (X,))
    assert made.source.count("checkpoint(layer, x, use_reentrant=False)") == made.source.count("def layer(x):") == 3


# what is left out is said -----------------------------------------------------------------------------------------


def codes(made: Any) -> list[tuple[str, str]]:
    """Findings about what is recomputed, with the file that each names."""
    findings = made._conversion.findings
    return [(f.code, f.where.split(":")[0]) for f in findings if f.code in ("C165", "C166")]


def test_what_changes_its_state_is_not_recomputed() -> None:
    class Norms(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.layer = nnx.Linear(SIZE, SIZE, rngs=rngs)
            self.norm = nnx.BatchNorm(SIZE, rngs=rngs)

        @nnx.remat
        def __call__(self, x: Any) -> Any:
            return x + nnx.relu(self.norm(self.layer(x)))

    for train in (False, True):
        made = assert_same(Stack(Norms, plainly), (X,), train=train, tolerance=2e-4)
        assert "checkpoint" not in made.source
        assert "self.norm = BatchNorm(8)" in made.source
        assert codes(made) == [("C165", Path(__file__).name)]


class Counts(nnx.Module):
    """State of a person's own, which only training changes."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layer = nnx.Linear(SIZE, SIZE, rngs=rngs)
        self.mean = nnx.BatchStat(jnp.zeros(SIZE))
        self.deterministic = False

    @nnx.remat
    def __call__(self, x: Any) -> Any:
        if not self.deterministic:
            self.mean[...] = 0.9 * self.mean[...] + 0.1 * x.mean(0)
        return self.layer(x - self.mean[...])


@pytest.mark.parametrize("train", [False, True])
def test_state_of_one_mode_is_enough(train: bool) -> None:
    made = assert_same(Stack(Counts, plainly), (X,), train=train)
    assert "checkpoint" not in made.source
    assert codes(made) == [("C165", Path(__file__).name)]


def test_a_function_of_a_loop_is_not_recomputed() -> None:
    class Loop(Holds):
        def __call__(self, x: Any) -> Any:
            def step(carry: Any, _: None) -> Any:
                return jax.checkpoint(lambda carry: jnp.sin(carry) * carry)(carry), None

            return jax.lax.scan(step, self.first(x), None, length=3)[0]

    made = assert_same(Loop(), (X,))
    assert "checkpoint" not in made.source
    assert codes(made) == [("C165", Path(__file__).name)]


def test_convolutions_in_a_function_are_not_recomputed() -> None:
    class Convolves(nnx.Module):
        def __init__(self) -> None:
            self.conv = nnx.Conv(2, 4, (3, 3), rngs=nnx.Rngs(0))

        def __call__(self, x: Any) -> Any:
            return nnx.remat(lambda conv, x: nnx.relu(conv(x)) * 2)(self.conv, x)

    made = assert_same(Convolves(), (jax.random.normal(jax.random.key(0), (2, 6, 6, 2)),))
    assert "checkpoint" not in made.source
    assert codes(made) == [("C165", Path(__file__).name)]


POLICIES = jax.checkpoint_policies
NAMED = {
    "dots_saveable": POLICIES.dots_saveable,
    "SaveOnlyTheseNames": POLICIES.save_only_these_names("y"),
    "": POLICIES.nothing_saveable,
}


@pytest.mark.parametrize("name", NAMED)
def test_a_policy_is_left_out(name: str) -> None:
    made = assert_same(Stack(Block, lambda block, x: nnx.remat(plainly, policy=NAMED[name])(block, x)), (X,))
    assert "checkpoint(block, x, use_reentrant=False)" in made.source
    said = [f.text.split()[2] for f in made._conversion.findings if f.code == "C166"]
    assert said == [name] * bool(name)


def test_where_everything_is_saved_nothing_is_recomputed() -> None:
    run = nnx.remat(plainly, policy=POLICIES.everything_saveable)
    made = assert_same(Stack(Block, run), (X,))
    assert "checkpoint" not in made.source
    assert not codes(made)


# what the converted module is worth -------------------------------------------------------------------------------


def saved_bytes(model: Any, x: torch.Tensor) -> int:
    """What autograd keeps between forward and backward, weights and inputs not counted."""
    given = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), x)}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = model(x)
    assert result.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("train", [False, True])
def test_less_is_kept_for_the_gradient(train: bool) -> None:
    x = torch.randn(64, SIZE)
    kept = [saved_bytes(regauge.to_torch(Stack(block, plainly), (X,)).train(train), x) for block in (Block, RematBlock)]
    blocks, row = 3, 4 * 64 * SIZE
    assert kept[1] <= (blocks - 1) * row  # what enters each block; the first one is given it
    assert kept[0] >= blocks * 4 * row  # the activation between two layers, before and after: each twice as wide


def test_dropout_runs_again_with_the_same_numbers() -> None:
    made = regauge.to_torch(Stack(RematBlock, plainly), (X,)).train()
    plain = regauge.to_torch(Stack(Block, plainly), (X,)).train()
    plain.load_state_dict(made.state_dict())
    found = []
    for model in (made, plain):
        torch.manual_seed(0)
        found.append(converted(model, as_tensors((X,))))
    for ours, theirs in zip(found[0][1].values(), found[1][1].values(), strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), torch.from_numpy(theirs))
    torch.testing.assert_close(*(torch.from_numpy(outputs[0]) for outputs, _, _ in found))


MODELS = {
    "blocks": lambda: Stack(RematBlock, plainly),
    "attention": Attention,
    "nested": Nested,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("train", [False, True])
def test_export(name: str, train: bool) -> None:
    made = regauge.to_torch(MODELS[name](), (X,)).train(train)
    x = torch.randn(4, SIZE)
    program = torch.export.export(made, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    if not train:
        other = torch.randn(7, SIZE)
        torch.testing.assert_close(program.module()(other), made(other))


@pytest.mark.parametrize("name", MODELS)
def test_compile(name: str) -> None:
    made = regauge.to_torch(MODELS[name](), (X,)).eval()
    x = torch.randn(4, SIZE)
    results = []
    for model in (made, torch.compile(made, fullgraph=True, backend="aot_eager")):
        made.zero_grad()
        result = model(x)
        result.sum().backward()
        results.append([result.detach(), *(p.grad.clone() for p in made.parameters() if p.grad is not None)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recomputing_jax.py:case", "recomputing_jax.py:linen_case"])
def test_a_check_finds_both_sides_equal(name: str, tmp_path: Path) -> None:
    found = regauge.check(str(Path(recomputing_jax.__file__).parent / name), out=tmp_path, quick=True)
    assert found.equal
    assert not found.not_checked
    verdicts = {(tier.name, tier.mode): tier.verdict for tier in found.tiers}
    assert verdicts["tier 1 gradients with dropout masks", "train"] == verdicts["randomness", "train"] == "equal"
    assert "checkpoint(" in (tmp_path / "conversion" / "model.py").read_text(encoding="utf-8")
