"""A person's JAX case as it is timed: with the weights and inputs that its conversion holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.flax import load_file

from regauge.errors import WorkerFailed
from regauge.run.jax_precision import widen_array
from regauge.run.jax_side import JaxSide, copies, load_case_to_widen, side_of_case
from regauge.run.jax_trees import Leaves, is_array
from regauge.run.protocol import read_json, unflatten_tree
from regauge.weights.mapping import WeightMap


@dataclass
class JaxCase:
    """A case ready to run.

    Attributes:
        side: program, loss and trainer.
        inputs, targets: arrays on the device, in the case's own trees.
    """

    side: JaxSide
    inputs: Any
    targets: Any

    def infer(self) -> Callable[[Leaves, Leaves, Any], Any]:
        """The outputs in evaluation mode as a function of parameters, state and inputs."""
        program = self.side.program

        def outputs(params: Leaves, state: Leaves, inputs: Any) -> Any:
            return program.call(params, state, inputs, "eval", jax.random.key(0))[0]

        return outputs

    def start(self, seed: int = 0) -> Any:
        """The trainer's carry before the first step, with other random streams for another seed.

        Raises:
            WorkerFailed: the case has no loss or no optimizer.
        """
        if self.side.trainer is None or self.side.loss is None:
            raise WorkerFailed("the case has no loss or no optimizer, so there is no training step")
        program = self.side.program
        keys = [n for n in program.random if jnp.issubdtype(program.state[n].dtype, jax.dtypes.prng_key)]
        streams = {name: jax.random.fold_in(program.state[name], seed) for name in keys} if seed else {}
        return self.side.trainer.start(copies(program.params), copies({**program.state, **streams}), seed)


def load_jax_case(reference: str, folder: Path, widen: bool = False) -> JaxCase:
    """The case with the weights and inputs of its conversion, so that both sides have the same ones.

    Args:
        reference: of the case.
        folder: the saved conversion.
        widen: everything in float64; JAX's x64 mode is left on.
    """
    case = load_case_to_widen(reference, widen)
    side = side_of_case(case, widen)
    weight_map = WeightMap.from_json(read_json(folder / "weights.json"))
    arrays = {name: np.asarray(array) for name, array in load_file(folder / "weights.safetensors").items()}
    for name in weight_map.by_source:
        for place in (side.program.params, side.program.state):
            if name in place:
                place[name] = jnp.asarray(weight_map.to_source(name, arrays), place[name].dtype)
    conversion = read_json(folder / "conversion.json")
    stored = load_file(folder / "reference.safetensors")
    inputs = _with_arrays(case.inputs, conversion["inputs"], stored, widen)
    targets = conversion.get("targets")
    targets = None if targets is None else _with_arrays(case.targets, targets, stored, widen)
    return JaxCase(side, inputs, targets)


def _with_arrays(own: Any, skeleton: Mapping[str, Any], arrays: Mapping[str, Any], widen: bool) -> Any:
    """The case's own tree with the stored arrays as leaves; its containers keep their types."""
    found = [leaf for leaf in jax.tree.leaves(unflatten_tree(dict(skeleton), arrays)) if is_array(leaf)]
    leaves, structure = jax.tree.flatten(own)
    own_arrays = [leaf for leaf in leaves if is_array(leaf)]
    values = iter(found if len(found) == len(own_arrays) else own_arrays)
    placed = [jnp.asarray(next(values), leaf.dtype) if is_array(leaf) else leaf for leaf in leaves]
    if widen:
        placed = [widen_array(leaf) if is_array(leaf) else leaf for leaf in placed]
    return jax.tree.unflatten(structure, placed)
