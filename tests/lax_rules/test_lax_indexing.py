"""Indexing of JAX's NumPy in torch: the text that stands for it, values, gradients, other batch sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from lax_rules.sides import same_gradients, same_values

import regauge

X = np.random.RandomState(0).standard_normal((5, 3)).astype(np.float32)
ROWS = np.array([1, 2], np.int32)
ONE = np.array(1, np.int32)


def tensors(arrays: tuple[Any, ...]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(a)) for a in arrays]


def to_torch(function: Callable[..., Any], arrays: tuple[Any, ...], **options: Any) -> Any:
    return regauge.to_torch(function, tuple(map(jnp.asarray, arrays)), **options)


def same(model: torch.nn.Module, function: Callable[..., Any], arrays: tuple[Any, ...]) -> None:
    """All results are equal bit for bit, with JAX's dtypes."""
    got = torch.utils._pytree.tree_leaves(model(*tensors(arrays)))
    wanted = jax.tree.leaves(function(*map(jnp.asarray, arrays)))
    for tensor, array in zip(got, wanted, strict=True):
        assert str(tensor.dtype).removeprefix("torch.") == str(array.dtype)
        np.testing.assert_array_equal(tensor.numpy(), np.asarray(array))


def body(model: Any) -> str:
    """The lines of forward as one text."""
    text = model.source.split("def forward", 1)[1].split("\n", 1)[1].split("\n\n\ndef load")[0]
    return " ".join(line.split("  # ")[0].strip() for line in text.splitlines())


# JAX 0.10.0 has no primitive for it, and joins arrays with a new axis.
STACKS = "stack" in str(jax.make_jaxpr(lambda x: jnp.stack([x, x], 1))(X))
STACKED = "return torch.stack((x, x), 1)" if STACKS else "torch.cat((unsqueeze, x.unsqueeze(1)), 1)"
WRITTEN = {
    "first row": (lambda x: x[0], (X,), "return x[0]"),
    "a column": (lambda x: x[:, 0], (X,), "return x[:, 0]"),
    "the last column": (lambda x: x[:, -1], (X,), "return x[:, 2]"),
    "columns": (lambda x: x[:, 1:], (X,), "return x[:, 1:]"),
    "every second": (lambda x: x[:, ::2], (X,), "return x[:, ::2]"),
    "an index that is a value": (lambda x, i: x[i], (X, ONE), "return x[i[None]].squeeze(0)"),
    "a column by a value": (lambda x, i: x[:, i], (X, ONE), "return x[:, i[None]].squeeze(1)"),
    "rows": (lambda x, i: x[i], (X, ROWS), "return x[i]"),
    "columns by an array": (lambda x, i: x[:, i], (X, ROWS), "return x[:, i]"),
    "elements": (lambda x, i: x[i, i], (X, ROWS), "return x[i, i]"),
    "rows of a column": (lambda x, i: x[i, 0], (X, ROWS), "return x[i, 0]"),
    "columns by constants": (
        lambda x: x[:, np.array([-1, 0])], (X,), "return x[:, torch.tensor([2, 0], dtype=torch.int32, device=x.device)]"
    ),
    "a difference": (lambda x: x[:, 1:] - x[:, :-1], (X,), "getitem = x[:, 1:] return getitem - x[:, :2]"),
    "diff": (lambda x: jnp.diff(x, axis=1), (X,), "getitem = x[:, 1:] return getitem - x[:, :2]"),
    "clipped": (lambda x, i: jnp.take(x.T, i, axis=0, mode="clip"), (X, ROWS), "[i.clamp(0, 2)]"),
    "argsort": (lambda x: jnp.argsort(x, 1), (X,), "return x.argsort(dim=1, stable=True).to(torch.int32)"),
    "sort": (lambda x: jnp.sort(x, 1), (X,), "return x.sort(dim=1, stable=True).values"),
    "in order": (
        lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1), (X,),
        "return x.gather(1, x.argsort(dim=1, stable=True))",
    ),
    "a row is set": (lambda x, v: x.at[0].set(v), (X, X[1]), "return x.select_scatter(v, 0, 0)"),
    "a column is added to": (lambda x, v: x.at[:, 1].add(v), (X, X[:, 0]), "select_scatter("),
    "a column is set": (lambda x, v: x.at[:, 0].set(v), (X, X[:, 1]), "return x.select_scatter(v, 1, 0)"),
    "columns are set": (lambda x, v: x.at[:, 1:].set(v), (X, X[:, :2]), "return x.slice_scatter(v, 1, 1)"),
    "joined": (lambda x: jnp.concatenate([x, x], 1), (X,), "return torch.cat((x, x), 1)"),
    "stacked": (lambda x: jnp.stack([x, x], 1), (X,), STACKED),
    "flipped": (lambda x: jnp.flip(x, 1), (X,), "return x.flip((1,))"),
    "padded": (lambda x: jnp.pad(x, ((0, 0), (1, 2))), (X,), "return F.pad(x, (1, 2))"),
    "rolled": (lambda x: jnp.roll(x, 1, 1), (X,), "torch.cat("),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_indexing_is_written_as_a_person_writes_it(name: str) -> None:
    function, arrays, text = WRITTEN[name]
    model = to_torch(function, arrays)
    assert text in body(model)
    same(model, function, arrays)


OUTSIDE = np.array([[1, -1], [7, -9], [-5, 4]], np.int32)
EXACT = {
    "take": lambda x, i: jnp.take(x, i, axis=0),
    "take from columns": lambda x, i: jnp.take(x, i, axis=1),
    "take with a value": lambda x, i: jnp.take(x, i, axis=0, fill_value=-1.0),
    "take, clipped": lambda x, i: jnp.take(x, i, axis=0, mode="clip"),
    "take, wrapped": lambda x, i: jnp.take(x, i, axis=0, mode="wrap"),
    "along an axis": lambda x, i: jnp.take_along_axis(x, i, 0) if i.shape[1] == 3 else jnp.take_along_axis(x, i.T, 1),
    "set": lambda x, i: x.at[i[:, 0]].set(x[:3] * 2),
    "add": lambda x, i: x.at[i].add(2.0),
    "sub": lambda x, i: x.at[i[:, 0]].subtract(x[:3]),
    "mul": lambda x, i: x.at[:, i[:, 0]].multiply(3.0),
    "max": lambda x, i: x.at[i[:, 1], 0].max(0.5),
    "min": lambda x, i: x.at[i[:, 1], i[:, 0]].min(-0.5),
    "by pairs": lambda x, i: x.at[i[:, 0], i[:, 1]].set(7.0),
    "with a mode": lambda x, i: x.at[i].get(mode="fill", fill_value=9.0),
    "set, clipped": lambda x, i: x.at[i[:, 0]].set(1.0, mode="clip"),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in EXACT if n != "along an axis"])
def test_what_points_outside_is_filled_or_dropped(name: str) -> None:
    model = to_torch(EXACT[name], (X, OUTSIDE), dynamic=None)
    same(model, EXACT[name], (X, OUTSIDE))


def test_along_an_axis_outside_is_nan() -> None:
    def pick(x: Any, i: Any) -> Any:
        return jnp.take_along_axis(x, i, 1)

    indices = np.array([[0], [2], [-1], [3], [-4]], np.int32)
    model = to_torch(pick, (X, indices))
    assert "ops.take_along_axis(x, i, 1" in body(model)
    same(model, pick, (X, indices))
    same(model, pick, (X[:2], indices[2:4]))


def test_a_table_of_weights_is_an_embedding_and_says_what_is_different() -> None:
    def look_up(params: Any, i: Any) -> Any:
        return jnp.take(params["table"], i, axis=0)

    model = to_torch(look_up, (np.array([[0, 4], [2, 2]], np.int32),), params={"table": X})
    assert "F.embedding(i, self.table)" in body(model)
    assert any("an index outside of the table is an error" in finding.text for finding in model.findings)
    np.testing.assert_array_equal(model(torch.tensor([[1, 3]])).detach().numpy(), X[[[1, 3]]])


SIZES = {
    "rows of a batch": lambda x, i: x[jnp.arange(x.shape[0]), i],
    "last row": lambda x, i: x[-1],
    "reversed": lambda x, i: x[::-1, :],
    "rolled": lambda x, i: jnp.roll(x, 2, 0),
    "one-hot": lambda x, i: jax.nn.one_hot(i, 3),
    "lower triangle": lambda x, i: jnp.tril(x),
    "labels are set": lambda x, i: x.at[jnp.arange(x.shape[0]), i].set(0.0),
    "best": lambda x, i: lax.top_k(x, 2),
    "sorted with": lambda x, i: lax.sort((i, x[:, 0]), num_keys=1),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_other_batch_sizes(name: str) -> None:
    labels = np.array([0, 2, 1, 1, 2], np.int32)
    model = to_torch(SIZES[name], (X, labels))
    same(model, SIZES[name], (X, labels))
    same(model, SIZES[name], (X[:3] * 2, labels[1:4]))


GRADIENTS = {
    "rows": lambda x: x[ROWS] * 2,
    "rows twice": lambda x: x[np.array([1, 1, 0])] ** 2,
    "set twice": lambda x: x.at[np.array([1, 1])].set(x[2:4] * 3),
    "add": lambda x: x.at[np.array([1, 1])].add(x[:2]) ** 2,
    "largest, with ties": lambda x: jnp.round(x).at[np.array([0, 0])].max(jnp.stack([x[0], x[0]])),
    "mul": lambda x: x.at[np.array([0, 2])].multiply(x[3:], unique_indices=True),
    "window": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), "SAME"),
    "window with ties": lambda x: lax.reduce_window(jnp.maximum(x, 0), -jnp.inf, lax.max, (2, 2), (1, 1), "VALID"),
    "sum": lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 3), (1, 2), ((1, 0), (0, 2))),
    "sorted": lambda x: jnp.sort(x, 0) * jnp.arange(15.0).reshape(5, 3),
    "best": lambda x: lax.top_k(x, 2)[0] ** 2,
    "inner padding": lambda x: lax.pad(x, x[0, 0], ((1, -1, 1), (-1, 2, 0))) ** 2,
    "moved block": lambda x: lax.dynamic_update_slice(x, x[:2, :2] * 2, (jnp.int32(9), 1)) ** 2,
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    function = GRADIENTS[name]
    weights = np.random.RandomState(1).standard_normal(jax.eval_shape(function, X).shape).astype(np.float32)
    wanted = jax.grad(lambda x: jnp.sum(function(x) * weights))(jnp.asarray(X))
    model = to_torch(function, (X,), dynamic=None)
    x = torch.from_numpy(X.copy()).requires_grad_(True)
    (model(x) * torch.from_numpy(weights)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.asarray(wanted), rtol=1e-5, atol=1e-6)


def test_a_mask_as_an_index_is_refused() -> None:
    with pytest.raises((jax.errors.NonConcreteBooleanIndexError, regauge.errors.CaptureError)):
        to_torch(lambda x: x[x > 0], (X,))


def test_export_and_compile_take_indexing() -> None:
    def function(x: Any, i: Any) -> Any:
        return x.at[i].add(1.0, mode="drop"), x[i[0]], jnp.take_along_axis(x, jnp.argsort(x, 1), 1)

    model = to_torch(function, (X, ROWS))
    arguments = tuple(tensors((X, ROWS)))
    wanted = model(*arguments)
    exported = torch.export.export(model, arguments).module()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for again in (exported(*arguments), compiled(*arguments)):
        for got, expected in zip(again, wanted, strict=True):
            assert torch.equal(got, expected)


def test_a_known_number_is_put_at_a_known_place() -> None:
    same_values(lambda x: x.at[1, 2].set(5.0), jnp.arange(12.0).reshape(3, 4))
    same_values(lambda x: x.at[1].set(5.0), jnp.arange(4.0))
    same_values(lambda x: x.at[1].add(5.0), jnp.arange(4.0))


WRITES = {
    "a slice": lambda x, u: x.at[1:3].set(u),
    "every second": lambda x, u: x.at[0:4:2].set(u),
    "a place that is clamped": lambda x, u: lax.dynamic_update_slice(x, u, (1,)),
    "one element": lambda x, u: x.at[2].set(u[0]),
    "an array of places": lambda x, u: x.at[jnp.array([0, 2])].set(u),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_of_complex_numbers_have_gradients(name: str) -> None:
    x, update = jnp.arange(5) * (1.0 + 2j), jnp.array([3 - 1j, 2 + 1j])
    same_values(WRITES[name], x, update)
    same_gradients(WRITES[name], x, update, bound=1e-5)


@pytest.mark.parametrize("how", ["set", "add", "mul", "min"])
def test_an_index_that_names_the_whole_array(how):
    def written(x):
        return getattr(x.at[...], how)(2 * x[:1])

    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    made = regauge.to_torch(written, (jnp.array(x),))
    np.testing.assert_array_equal(made(torch.from_numpy(x)).numpy(), written(jnp.array(x)))


def test_places_in_an_array_of_symbolic_size():
    """`jnp.nonzero` divides by the sizes, of which one is chosen where it is none."""

    def positive(x):
        return jnp.nonzero(x > 0, size=8, fill_value=-1)

    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    made = regauge.to_torch(positive, (x,))
    for example in (x, x[:2]):
        for found, expected in zip(made(torch.from_numpy(example)), positive(jnp.array(example)), strict=True):
            np.testing.assert_array_equal(found.numpy(), expected)
