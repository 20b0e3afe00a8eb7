"""A saved conversion as a worker sees it: the module and train.py of the folder, with its reference inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
from flax import linen, nnx
from safetensors.numpy import load_file

from regauge.errors import BadResult
from regauge.run.jax_precision import widen_array
from regauge.run.jax_source import load_sources
from regauge.run.protocol import read_json, unflatten_tree
from regauge.weights.mapping import WeightMap


@dataclass
class JaxSubject:
    """An emitted model with everything that it takes to run and to train it.

    Attributes:
        model: the root module with its weights; float64 throughout if it was loaded with `widen`.
        train: the module train.py, or None.
        inputs: numpy arrays in the tuple or dict of the model's arguments.
        targets: numpy arrays in the tree that the loss needs, or None.
        conversion: conversion.json.
        weights: weights.json.
    """

    model: nnx.Module
    train: ModuleType | None
    inputs: tuple[Any, ...] | dict[str, Any]
    targets: Any
    conversion: dict[str, Any]
    weights: dict[str, Any]

    @property
    def weight_map(self) -> WeightMap:
        return WeightMap.from_json(self.weights)

    @staticmethod
    def call(model: nnx.Module, inputs: tuple[Any, ...] | dict[str, Any]) -> Any:
        """The model's outputs."""
        return model(**inputs) if isinstance(inputs, dict) else model(*inputs)  # type: ignore[operator]


def load_jax_subject(folder: Path, widen: bool = False) -> JaxSubject:
    """The subject of a saved folder, loaded from its source files.

    Args:
        folder: holds model.py, weights.safetensors, weights.json, reference.safetensors, conversion.json and,
            if the case has a loss, train.py.
        widen: read the float dtypes of the source text as float64 and widen the weights; needs JAX's x64 mode.

    Raises:
        BadResult: a file of the folder is missing.
    """
    folder = Path(folder).resolve()
    conversion = read_json(_existing(folder / "conversion.json"))
    weights = read_json(_existing(folder / "weights.json"))
    files = {name: folder / f"{name}.py" for name in ("ops", "model", "train")}
    _existing(files["model"])
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items() if path.is_file()}
    modules = load_sources(texts, str(folder), widen)
    model = modules["model"].load(folder)
    reference = load_file(_existing(folder / "reference.safetensors"))
    if widen:
        widen_variables(model)
        reference = {name: widen_array(array) for name, array in reference.items()}
    targets = conversion.get("targets")
    return JaxSubject(
        model=model,
        train=modules.get("train"),
        inputs=unflatten_tree(conversion["inputs"], reference),
        targets=None if targets is None else unflatten_tree(targets, reference),
        conversion=conversion,
        weights=weights,
    )


def widen_variables(model: nnx.Module) -> None:
    """Replace the float variables of a module by float64 ones of the same values, and widen its dtypes."""
    state = nnx.state(model, nnx.Not(nnx.RngState))
    for _, variable in nnx.to_flat_state(state):
        if jnp.issubdtype(variable.dtype, jnp.floating):
            variable.set_value(jnp.asarray(variable[...], jnp.float64))
    nnx.update(model, state)
    _widen_attributes(model)


def widen_dtypes(model: Any) -> Any:
    """A model whose modules compute in float64 where their `dtype` says another float: a copy, where there is one.

    Modules that keep the dtype of their computation, as nnx.Embed does from its constructor on, would round, and
    recurrent cells make their first carry in `param_dtype`. Linen modules are configurations: the outermost is cloned,
    those inside are made by its code when it runs, where `wide_names` reaches them.
    """
    if isinstance(model, nnx.Module):
        widened = nnx.clone(model)
        _widen_attributes(widened)
        return widened
    if isinstance(model, tuple) and model and isinstance(model[0], linen.Module):
        changes = {n: jnp.float64 for n in ("dtype", "param_dtype") if _is_float(getattr(model[0], n, None))}
        return (model[0].clone(**changes), *model[1:])
    return model


def _widen_attributes(model: nnx.Module) -> None:
    for _, module in nnx.iter_modules(model):
        for name in ("dtype", "param_dtype"):
            if _is_float(vars(module).get(name)):
                setattr(module, name, jnp.float64)


def _is_float(dtype: Any) -> bool:
    return dtype is not None and jnp.issubdtype(dtype, jnp.floating)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadResult(
            f"{path.parent.name} is not a whole conversion: {path.name} is missing",
            where=str(path),
            next="convert the case again",
        )
    return path
