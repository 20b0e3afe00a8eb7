"""A JAX side before it is judged: its inputs, outputs, weights and what it trains with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.case import load_case
from regauge.run.describing import flatten, rejects, write_description
from regauge.run.evaluation import Arrays
from regauge.run.jax_evaluate import numpy_of
from regauge.run.jax_side import JaxSide, side_of_case
from regauge.run.jax_trees import is_array


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
    try:
        given = jax.tree.map(lambda leaf: jnp.asarray(leaf) if is_array(leaf) else leaf, side.inputs)
        found, _ = program.call(program.params, program.state, given, "eval", jax.random.key(0))
    except Exception as error:
        raise rejects(error) from error
    outputs, output_arrays = flatten(found, "outputs", _is_data)
    reference: Arrays = {n: numpy_of(leaf) for n, leaf in (arrays | target_arrays | output_arrays).items()}
    state = {name: array for name, array in program.state.items() if name not in program.random}
    weights = {name: numpy_of(array) for name, array in {**program.params, **state}.items()}
    roles = {name: "parameter" if name in program.params else "buffer" for name in weights}
    return {
        "name": program.name,
        "inputs": inputs,
        "targets": targets,
        "outputs": outputs,
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
