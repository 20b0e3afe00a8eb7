"""What a JAX model gives for its example inputs."""

from __future__ import annotations

from typing import Any

import jax

from regauge.capture.jax_example import Example, Inputs
from regauge.capture.jax_failures import not_traced, rejected
from regauge.capture.jax_purity import placeholders, source_line
from regauge.errors import RegaugeError
from regauge.run.jax_program import JaxProgram
from regauge.run.jax_trees import is_array


def reference_outputs(program: JaxProgram, inputs: Inputs, donates: bool) -> Any:
    """What a model gives for its inputs in evaluation mode.

    Args:
        program: of the model.
        inputs: tuple of positional or dict of keyword arguments.
        donates: as `Captured.donates`; the model is then called on copies.

    Raises:
        BadCase: the model rejects its inputs.
    """
    try:
        return _compiled(program, inputs) if program.runs_compiled else evaluated(program, inputs, donates)
    except RegaugeError:
        raise
    except jax.errors.UnexpectedTracerError as error:
        left = placeholders(program, inputs, "eval")
        raise not_traced(error, program.name, lambda: None, left, source_line(program, left)) from error
    except Exception as error:  # whatever a model raises
        raise rejected(error, program.name, source_line(program)) from error


def _compiled(program: JaxProgram, inputs: Inputs) -> Any:
    """What a model gives in evaluation, as one compiled function of its arrays."""
    example, held = Example(inputs, ()), []

    def run(params: Any, state: Any, arrays: Any) -> list[Any]:
        outputs = program.call(params, state, example.tree(arrays), "eval", jax.random.key(0))[0]
        leaves, structure = jax.tree.flatten(outputs)
        held.append((leaves, structure))
        return [leaf for leaf in leaves if is_array(leaf)]

    found = iter(jax.jit(run)(program.params, program.state, example.arrays))
    leaves, structure = held[-1]
    return jax.tree.unflatten(structure, [next(found) if is_array(leaf) else leaf for leaf in leaves])


def evaluated(program: JaxProgram, inputs: Inputs, donates: bool = False) -> Any:
    """What a model gives in evaluation, operator by operator."""
    params, state = program.params, program.state
    if donates:
        params, state, inputs = jax.tree.map(
            lambda leaf: leaf.copy() if isinstance(leaf, jax.Array) else leaf, (params, state, inputs)
        )
    return program.call(params, state, inputs, "eval", jax.random.key(0))[0]
