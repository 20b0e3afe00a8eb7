"""A JAX model and its conversion to torch on the same arrays: outputs, gradients of the weights, new state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import regauge
from regauge.run.jax_program import program_of

Named = dict[str, np.ndarray]


def as_tensors(args: tuple[Any, ...]) -> list[torch.Tensor]:
    return list(jax.tree.map(lambda array: torch.from_numpy(np.array(array)), args))


def original(model: Any, args: tuple[Any, ...], train: bool) -> tuple[list[np.ndarray], Named, Named]:
    """Outputs, gradients of the sum of all outputs times fixed weights, and the state after the call."""
    program = program_of(model)

    def loss(params: Any) -> Any:
        outputs, state = program.call(params, program.state, args, "train" if train else "eval", jax.random.key(0))
        leaves = jax.tree.leaves(outputs)
        return sum(jnp.sum(leaf * factors(leaf.shape)) for leaf in leaves), (leaves, state)

    gradients, (leaves, state) = jax.jit(jax.grad(loss, has_aux=True))(program.params)
    kept = {name: np.asarray(array) for name, array in state.items() if name not in program.random}
    return [np.asarray(leaf) for leaf in leaves], {n: np.asarray(g) for n, g in gradients.items()}, kept


def factors(shape: tuple[int, ...]) -> np.ndarray:
    return np.cos(np.arange(int(np.prod(shape)), dtype=np.float32)).reshape(shape)


def converted(model: Any, tensors: list[torch.Tensor]) -> tuple[list[np.ndarray], Named, Named]:
    """The same of a converted model, under the names and in the layouts of the original."""
    found = model(*tensors)
    leaves = jax.tree.leaves(found, is_leaf=lambda leaf: isinstance(leaf, torch.Tensor))
    sum((leaf * torch.from_numpy(factors(tuple(leaf.shape)))).sum() for leaf in leaves).backward()
    parameters = {
        name: np.zeros(p.shape, np.float32) if p.grad is None else p.grad.numpy()
        for name, p in model.named_parameters()
    }
    buffers = {name: buffer.detach().numpy() for name, buffer in model.named_buffers()}
    gradients: Named = {}
    state: Named = {}
    weight_map = model._conversion.weight_map
    for source, (entry, *_) in weight_map.by_source.items():
        trains = entry.target in parameters
        (gradients if trains else state)[source] = weight_map.to_source(source, parameters if trains else buffers)
    return [leaf.detach().numpy() for leaf in leaves], gradients, state


def assert_same(model: Any, args: tuple[Any, ...], *, train: bool = False, tolerance: float = 3e-5) -> Any:
    """Convert, and compare outputs, gradients and state on the example and, if sizes are symbolic, on another batch.

    Returns:
        The converted model.
    """
    made = regauge.to_torch(model, args, train=train)
    examples = [args]
    if made._conversion.symbols and not train:
        examples.append(jax.tree.map(lambda array: jnp.concatenate([array, array[:1]]), args))
    ours, theirs = original(model, args, train), converted(made, as_tensors(args))
    for expected, found in zip(ours[1:], theirs[1:], strict=True):
        _same_names(expected, found, tolerance)
    for a, b in zip(ours[0], theirs[0], strict=True):
        close("output", a, b, tolerance)
    for example in examples[1:]:
        made.zero_grad()
        outputs = evaluated(model, example)
        for a, b in zip(outputs, converted(made.eval(), as_tensors(example))[0], strict=True):
            close("output of another batch", a, b, tolerance)
    return made


def evaluated(model: Any, args: tuple[Any, ...]) -> list[np.ndarray]:
    program = program_of(model)
    run = jax.jit(lambda params, state: program.call(params, state, args, "eval", jax.random.key(0))[0])
    return [np.asarray(leaf) for leaf in jax.tree.leaves(run(program.params, program.state))]


def _same_names(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], tolerance: float) -> None:
    largest = max((float(np.linalg.norm(array)) for array in expected.values()), default=0.0)
    for name, array in found.items():
        if name in expected:
            close(name, expected[name], array, tolerance, 1e-3 * largest)


def close(name: str, expected: np.ndarray, found: np.ndarray, tolerance: float, least: float = 1e-3) -> None:
    assert expected.shape == found.shape, name
    assert str(expected.dtype) == str(found.dtype), name
    scale = max(float(np.linalg.norm(expected)), least)
    distance = float(np.linalg.norm(np.asarray(found, np.float64) - np.asarray(expected, np.float64)))
    assert distance <= tolerance * scale, f"{name}: {distance / scale:.2e}"
