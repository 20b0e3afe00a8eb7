"""Outputs and all gradients of a converted model against those of torch, with random cotangents, under jit."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import regauge
from regauge.weights import layout

TOLERANCE = 2e-5  # of float32, relative to the largest element of what torch gives


def leaves(tree: Any) -> list[Any]:
    """Arrays of a tree in the order in which it was written; JAX would sort the keys of dicts."""
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in leaves(item)]
    if isinstance(tree, tuple | list):
        return [leaf for item in tree for leaf in leaves(item)]
    if dataclasses.is_dataclass(tree):
        return leaves(vars(tree))
    return [tree] if hasattr(tree, "dtype") else []


def is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def close(found: Any, expected: Tensor, what: str, tolerance: float) -> None:
    reference = expected.detach().to(torch.complex128 if expected.is_complex() else torch.float64).numpy()
    actual = np.asarray(found).astype(reference.dtype)
    assert actual.shape == reference.shape, f"{what}: shape {actual.shape} instead of {reference.shape}"
    scale = max(float(np.abs(reference).max(initial=0.0)), 1e-6)
    distance = float(np.abs(actual - reference).max(initial=0.0)) / scale
    assert distance <= tolerance, f"{what}: {distance:.1e}"


def assert_like_torch(
    model: nn.Module, inputs: tuple[Any, ...], *, train: bool = False, tolerance: float = TOLERANCE, **options: Any
) -> Any:
    """The converted model, after its outputs, their dtypes, and all gradients were compared with the original's."""
    converted = regauge.to_jax(model, inputs, train=train, **options)
    model.train(train)
    flat, spec = pytree.tree_flatten(inputs)
    flat = [value.detach().clone().requires_grad_(is_float(value)) if is_float(value) else value for value in flat]
    own = [value.clone() if isinstance(value, Tensor) else value for value in flat]  # to which the model may write
    expected = [
        leaf for leaf in pytree.tree_leaves(model(*pytree.tree_unflatten(own, spec))) if isinstance(leaf, Tensor)
    ]
    random = np.random.default_rng(0)
    cotangents = [random.normal(size=tuple(out.shape)).astype(np.float32) for out in expected]
    flows = [out.requires_grad and not out.is_complex() for out in expected]
    total = sum(
        (o * torch.tensor(c).to(o)).sum().float() for o, c, f in zip(expected, cotangents, flows, strict=True) if f
    )
    given = [place for place, value in enumerate(flat) if is_float(value)]
    arrays = [jnp.asarray(v.detach().numpy()) if isinstance(v, Tensor) else v for v in flat]

    def loss(params: Any, floats: list[Any]) -> Any:
        values = list(arrays)
        for place, value in zip(given, floats, strict=True):
            values[place] = value
        outputs, _ = converted.apply(params, converted.state, *pytree.tree_unflatten(values, spec))
        found = leaves(outputs)
        parts = [(o * c).sum().astype(np.float32) for o, c, f in zip(found, cotangents, flows, strict=True) if f]
        return sum(parts, jnp.zeros(())), found

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, found), (by_params, by_inputs) = run(converted.params, [arrays[place] for place in given])
    for number, (out, reference) in enumerate(zip(found, expected, strict=True)):
        dtype = {torch.int64: np.int32}.get(reference.dtype, str(reference.dtype).removeprefix("torch."))
        assert out.dtype == dtype, f"output {number} is {out.dtype} instead of {reference.dtype}"
        close(out, reference, f"output {number}", tolerance)
    if not any(flows):
        return converted
    total.backward()  # type: ignore[union-attr]
    for place, gradient in zip(given, by_inputs, strict=True):
        wanted_gradient = flat[place].grad
        close(
            gradient, torch.zeros_like(flat[place]) if wanted_gradient is None else wanted_gradient, "input", tolerance
        )
    _compare_parameters(converted, model, by_params, tolerance)
    return converted


def _compare_parameters(converted: Any, model: nn.Module, gradients: Any, tolerance: float) -> None:
    found = {".".join(map(str, path)): variable[...] for path, variable in nnx.to_flat_state(gradients)}
    parameters = dict(model.named_parameters())
    for entry in converted._conversion.weight_map.entries:
        if entry.source in parameters:
            parameter = parameters[entry.source]
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            expected = layout.apply(gradient.detach().float().numpy(), entry.layout)
            close(found[entry.target], torch.tensor(np.array(expected)), f"gradient of {entry.source}", tolerance)
