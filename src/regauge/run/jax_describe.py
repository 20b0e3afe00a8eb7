"""A JAX side before it is judged: its inputs, outputs, weights and what it trains with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.case import load_case
from regauge.errors import RegaugeError
from regauge.run.array_files import Arrays
from regauge.run.describing import flatten, rejects, write_description
from regauge.run.jax_arrays import numpy_of, seen
from regauge.run.jax_side import JaxSide, side_of_case
from regauge.run.protocol import unflatten_tree


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Describe the case of a job."""
    return describe(side_of_case(load_case(job["case"]), widen=False), Path(job["out"]))


def describe(side: JaxSide, out: Path) -> dict[str, Any]:
    """The description of a side; its arrays are written to `out`.

    Raises:
        BadCase: the model rejects its own inputs, or they hold something that is no array.
    """
    program = side.program
    inputs, arrays = flatten(side.inputs, "inputs", _is_data)
    targets, target_arrays = (None, {}) if side.targets is None else flatten(side.targets, "targets", _is_data)
    skeletons: dict[str, Any] = {}

    def call(params: Any, state: Any, leaves: Any) -> Any:
        found, _ = program.call(params, state, unflatten_tree(inputs, leaves), "eval", jax.random.key(0))
        skeletons["outputs"], named = flatten(found, "outputs", _is_data)
        return named

    try:
        given = {name: jnp.asarray(leaf) for name, leaf in arrays.items()}
        output_arrays = jax.jit(call)(program.params, program.state, given)
    except RegaugeError:
        raise
    except Exception as error:
        raise rejects(error) from error
    reference: Arrays = {n: numpy_of(leaf) for n, leaf in (arrays | target_arrays | output_arrays).items()}
    state = {name: array for name, array in program.state.items() if name not in program.random}
    weights = seen({**program.params, **state})
    roles = {name: "parameter" if name in program.params else "buffer" for name in weights}
    return {
        "name": program.name,
        "inputs": inputs,
        "targets": targets,
        "outputs": skeletons["outputs"],
        "has_loss": side.loss is not None,
        "optimizer": side.optimizer,
        "spec": None,
        "knows_mode": program.knows_mode,
        "weights": write_description(out, reference, weights, roles),
        "versions": side.versions,
    }


def _is_data(leaf: Any) -> bool:
    if isinstance(leaf, jax.Array):
        return not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return isinstance(leaf, np.ndarray | np.generic)
