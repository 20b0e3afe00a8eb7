"""A converted model in this process: the emitted text, executed, with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from regauge.emit.conversion import Conversion, convert
from regauge.emit.nnx_package import check_map
from regauge.emit.package import write_folder
from regauge.findings import Finding
from regauge.ir.captured import CapturedModel, Reference
from regauge.ir.graph import Graph
from regauge.run.jax_known import require_constants, require_known, warn_of_sizes
from regauge.run.jax_source import load_sources
from regauge.run.jax_trees import Outputs, with_records


@dataclass(frozen=True)
class Original:
    """The original's arrays in memory.

    Attributes:
        weights: by qualified name; of tied ones the first.
        arrays: reference inputs and outputs, by the names that the skeletons of `reference` use.
        reference: describes them.
    """

    weights: Mapping[str, np.ndarray]
    arrays: Mapping[str, np.ndarray]
    reference: Reference


class JaxModel:
    """A torch model as a JAX model.

    Attributes:
        module: the flax.nnx module, with its weights.
        params: nnx.State of what trains.
        state: nnx.State of everything else: batch statistics, buffers, frozen parameters, random streams.
        source: the text of model.py.
        findings: what a person should know.
    """

    def __init__(self, conversion: Conversion, original: Original, graph: Graph, train: bool) -> None:
        """
        Args:
            conversion: the emitted sources.
            original: the original's arrays.
            graph: what was captured.
            train: whether calls run in training mode.
        """
        self._conversion = conversion
        self._graph = graph
        self._original = original
        modules = load_sources(conversion.sources)
        check_map(conversion, modules["model"])
        self.module = _filled(getattr(modules["model"], conversion.root), conversion, original.weights)
        self.train = train
        self.module.train() if train else self.module.eval()
        frozen = {e.target for e in conversion.weight_map.entries if not e.trainable}
        self._trains = lambda path, value: isinstance(value, nnx.Param) and ".".join(map(str, path)) not in frozen
        self._graphdef, self.params, self.state = self._split(self.module)

    @property
    def source(self) -> str:
        return self._conversion.sources["model"]

    @property
    def sources(self) -> Mapping[str, str]:
        """Text of every emitted file by module name: `model`, and `ops` if helpers are needed."""
        return self._conversion.sources

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self._conversion.findings

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs for arrays of jax or numpy. What the model changes moves on: statistics, counters, random streams.

        Sizes that are not symbolic (``to_jax(..., dynamic=...)``) may be numbers in the code: a UserWarning says so
        when an input has other ones.

        Raises:
            BadCase: an input that is known (``to_jax(..., known=...)``) has other values, or a flag, number or text
                that is part of the code.
        """
        require_constants(self.module, args, kwargs, self._original.reference.inputs)
        if self._original.reference.known:
            known = {name: self._original.arrays[name] for name in self._original.reference.known}
            require_known(self.module, args, kwargs, known)
        leaves, tree = jax.tree.flatten(with_records((args, kwargs)))
        texts = tuple(leaf if isinstance(leaf, str) else None for leaf in leaves)  # which jax.jit cannot take
        arrays = [None if isinstance(leaf, str) else leaf for leaf in leaves]
        outputs, self.state = self._jitted(self.params, self.state, arrays, texts, tree)
        return outputs.tree()

    def apply(self, params: Any, state: Any, *args: Any, rng: jax.Array | None = None, **kwargs: Any) -> Any:
        """The model as a pure function.

        Args:
            params: as `self.params`.
            state: as `self.state`.
            *args: arrays.
            rng: a key for dropout and other randomness; the streams in `state` go on when it is None.
            **kwargs: arrays.

        Returns:
            (outputs, new_state).
        """
        warn_of_sizes(self.module, args, kwargs, self._graph)  # once a trace
        model = nnx.merge(self._graphdef, params, state, copy=True)
        if rng is not None:
            nnx.reseed(model, default=rng, policy="match_shape")  # streams of stacked layers have a key each
        outputs = model(*args, **kwargs)
        return outputs, self._split(model)[2]

    def _split(self, model: nnx.Module) -> tuple[Any, Any, Any]:
        split: Any = nnx.split  # its annotation allows a tuple of any length
        graphdef, params, state = split(model, self._trains, ...)
        return graphdef, params, state

    @cached_property
    def _jitted(self) -> Any:
        def run(params: Any, state: Any, arrays: list[Any], texts: tuple[str | None, ...], tree: Any) -> Any:
            leaves = [text if array is None else array for array, text in zip(arrays, texts, strict=True)]
            args, kwargs = jax.tree.unflatten(tree, leaves)
            outputs, new_state = self.apply(params, state, *args, **kwargs)
            return Outputs.of(outputs), new_state

        return jax.jit(run, static_argnums=(3, 4))

    def save(self, directory: str | Path) -> Path:
        """Write the saved folder, which runs without regauge and without torch.

        Weights are those of the original; arrays that training changed since are in `params` and `state`.
        """
        original = self._original
        write_folder(self._conversion, original.weights, original.arrays, original.reference, Path(directory))
        return Path(directory)

    def __repr__(self) -> str:
        mode = "training" if self.train else "evaluation"
        return f"JaxModel({self._conversion.root}, {mode}, {len(self._conversion.weight_map.entries)} weights)"


def build(captured: CapturedModel, original: Original, train: bool) -> JaxModel:
    """Convert a capture and load it."""
    return JaxModel(convert(captured), original, captured.graph, train)


def _filled(root: Any, conversion: Conversion, weights: Mapping[str, np.ndarray]) -> nnx.Module:
    """The module with the original's weights, in its layouts; made as the emitted `load` does, without drawing any."""
    model: nnx.Module = nnx.eval_shape(lambda: root(rngs=nnx.Rngs(0)))
    state = nnx.state(model)
    for number, (path, variable) in enumerate(nnx.to_flat_state(state)):
        if isinstance(variable, nnx.RngKey):
            key = jax.random.fold_in(jax.random.key(0), number)
            variable.set_value(jax.random.split(key, variable.shape) if variable.shape else key)
        elif isinstance(variable, nnx.RngCount):
            variable.set_value(jnp.zeros(variable.shape, jnp.uint32))
        else:
            value = conversion.weight_map.to_target(".".join(map(str, path)), weights)
            # a copy: jnp.asarray may share the memory of the original, which goes on training
            variable.set_value(jnp.array(value, variable.dtype))
    nnx.update(model, state)
    return model
