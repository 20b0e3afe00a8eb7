"""Values that functions and methods called by forward compute are named as those name them."""

from __future__ import annotations

import ast
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import rotary_helpers
import torch
import torch.nn.functional as F
from comparing_jax import assert_same
from flax import nnx
from like_torch import assert_like_torch
from rotary_helpers import apply_rotary, normalised, rotate_half
from torch import Tensor, nn

import regauge

X = torch.linspace(-1, 2, 48).reshape(2, 3, 8)


def written(model: Any, *inputs: Tensor) -> str:
    """The bodies of `__call__` without comments, after outputs and gradients were compared."""
    source = assert_like_torch(model, inputs or (X,)).source
    methods = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return "\n".join(ast.unparse(line) for node in methods if node.name == "__call__" for line in node.body)


def assigned(text: str) -> list[str]:
    """The names that statements assign, in order."""
    return [
        line.strip().split(" = ")[0] for line in text.splitlines() if " = " in line and not line.startswith("return")
    ]


# functions -----------------------------------------------------------------------------------------------------------


class Once(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        halves = rotate_half(x)
        return halves + halves.sin() * x


def test_a_result_has_the_callers_name_and_what_is_between_the_functions_own() -> None:
    assert assigned(written(Once())) == ["first, second", "turned", "halves"]


class Rotary(nn.Module):
    def forward(self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        query, key = apply_rotary(query, key, cos, sin)
        return query @ key.transpose(-1, -2) + query.sum() * key.sum()


def test_functions_within_functions_that_are_called_twice() -> None:
    heads = torch.linspace(-1, 1, 96).reshape(2, 2, 3, 8)
    names = assigned(written(Rotary(), heads, heads.flip(0), X.cos(), X.sin()))
    turning = ["first, second", "turned"]
    assert names == ["cos", "sin", *turning, "query", *turning, "key"]


class Decorated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return normalised(x)


def test_a_decorator_names_nothing() -> None:
    assert assigned(written(Decorated())) == ["energy", "scaled"]


class Shadowed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        turned = x * 2
        result = rotate_half(x)
        return turned * result + turned + result.sin()


def test_a_local_that_would_hide_one_of_forward_is_named_after_what_it_is_for() -> None:
    assert assigned(written(Shadowed())) == ["turned", "first, second", "result", "result"]


def spread(x: Tensor) -> Tensor:
    x = x - x.mean()
    x = x / x.square().sum()
    return x + x.sin()


class SameLocal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = spread(x)
        return x * y + y


def test_a_parameter_that_is_read_later_is_not_hidden() -> None:
    assert set(assigned(written(SameLocal()))) == {"y"}


class Repeated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = rotate_half(x)
        return x + x.sin()


def test_a_loop_that_calls_a_function() -> None:
    source = written(Repeated())
    assert assigned(source) == ["first, second", "turned", "x"]
    assert "for _ in range(2):" in source


class Collected(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        state, states = x, []
        for _ in range(3):
            state = (state * x).cumsum(-1)
            states.append(state)
        return torch.stack(states) * states[0] * states[1]


def test_rounds_of_a_loop_that_are_kept_are_numbered_alike() -> None:
    assert assigned(written(Collected())) == ["state", "state_2", "state_3"]


class Product(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        scores = F.normalize(x, dim=-1) * F.normalize(y, dim=-1)
        return scores * scores.sum()


def test_steps_of_one_statement_are_no_rounds_of_a_loop() -> None:
    assert "scores_2" not in written(Product(), X, X.cos())


class Listed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        scale = lambda part: (part * 2).cumsum(-1)  # noqa: E731
        parts = [scale(rotate_half(x)) for _ in range(1)]
        return parts[0] * parts[0].sin()


def test_lambdas_and_comprehensions_name_nothing_of_their_own() -> None:
    assert assigned(written(Listed())) == ["first, second", "turned", "parts"]


class Library(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        unit = F.normalize(x, dim=-1)
        pooled = F.adaptive_avg_pool1d(unit, 4)
        return pooled.sum() * unit


def test_functions_of_torch_are_no_functions_of_the_original() -> None:
    assert assigned(written(Library())) == ["unit", "unit", "pooled"]


# methods -------------------------------------------------------------------------------------------------------------


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def split_heads(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fused = self.qkv(states).view(*states.shape[:2], 3, 2, 4).transpose(1, 3)
        return fused[:, :, 0], fused[:, :, 1], fused[:, :, 2]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = (q @ k.transpose(-1, -2)).softmax(-1)
        weights = weights / (1 + weights.amax(-1, keepdim=True))
        context = self.out((weights @ v).transpose(1, 2).flatten(2))
        return context + context.sin()

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.split_heads(x)
        key = key + query
        attended = self.attend(query, key, value)
        return attended * attended.sum() + query.sum()


def test_methods_and_modules_that_they_call() -> None:
    torch.manual_seed(0)
    names = assigned(written(Heads()))
    assert names == ["batch", "fused", "query", "key", "value", "key", "weights", "context", "context", "attended"]


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        opened = x.sigmoid()
        return opened * opened.cumsum(-1)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def forward(self, x: Tensor) -> Tensor:
        gated = self.gate(x)
        return gated + gated.sin()


class Widened(Block):
    def forward(self, x: Tensor) -> Tensor:
        wide = super().forward(x)
        return wide * wide.sum()


def test_forward_of_a_base_class_is_a_method_that_forward_calls() -> None:
    assert assigned(written(Widened())) == ["opened", "gated", "wide"]


class Tuples(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = x[0], x[1], (x[0] * x[1])
        low, high = q.sin() * k, k.cos() * q
        return q * v + k * low + high * low + v.sum() * high


def test_parts_of_a_tuple_have_the_names_that_the_tuple_is_assigned_to() -> None:
    assert assigned(written(Tuples())) == ["q", "k", "v", "low", "high"]


class Remembered(nn.Module):
    keys: Tensor

    def update(self, x: Tensor) -> Tensor:
        self.keys = torch.cat((x, x.flip(-1)), dim=-1)
        return self.keys

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.update(x.sin())
        return self.keys * 2, self.keys


def test_what_is_kept_in_an_attribute_is_named_after_it() -> None:
    source = regauge.to_jax(Remembered(), (X,), train=False).source
    assert "keys = jnp.concatenate(" in source


# files ---------------------------------------------------------------------------------------------------------------


def test_names_do_not_depend_on_where_files_are(tmp_path: Path) -> None:
    sources = set()
    for folder in ("one", "another"):
        path = tmp_path / folder / "rotary_copy.py"
        path.parent.mkdir()
        shutil.copy(Path(rotary_helpers.__file__), path)
        spec = importlib.util.spec_from_file_location("rotary_copy", path)
        assert spec is not None
        assert spec.loader is not None
        copy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(copy)
        model = Once()
        model.forward = lambda x, copy=copy: copy.rotate_half(x) + x  # type: ignore[method-assign]
        sources.add(regauge.to_jax(model, (X,)).source)
    (source,) = sources
    assert "turned = " in source


# from JAX ------------------------------------------------------------------------------------------------------------


def jax_gate(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    centred = x - x.mean()
    opened = centred * jnp.sin(centred)
    return opened, centred


class JaxGate(nnx.Module):
    def __init__(self) -> None:
        self.linear = nnx.Linear(4, 4, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        gate, rest = jax_gate(self.linear(x))
        return gate * rest + jnp.cos(gate) * rest.sum()


def test_functions_of_a_jax_model() -> None:
    source = assert_same(JaxGate(), (jnp.linspace(-1.0, 2.0, 12).reshape(3, 4),)).source
    assert "rest = x - x.mean()" in source
    assert "gate = rest * rest.sin()" in source
