"""A process of its own that runs optax: ``python optax_walks.py OUT``.

Writes ``specs.json`` (what was read off each transformation, by case) and ``walks.npz`` (the parameters after every
step in float64; keys ``case/step/parameter``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax_cases import CASES
from optax_problem import STEPS, gradients, initial

from regauge.capture.jax_optimizer import from_optax
from regauge.optax_specs import to_json
from regauge.run.jax_precision import wide_names, widen_accumulators, widen_counts
from regauge.run.jax_program import program_of


def nested(arrays: dict[str, Any]) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        module, _, leaf = name.partition(".")
        tree.setdefault(module, {})[leaf] = jnp.asarray(array)
    return tree


def flat(tree: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    return {f"{module}.{leaf}": np.asarray(array) for module, leaves in tree.items() for leaf, array in leaves.items()}


def walk(optimizer: optax.GradientTransformation, case: str) -> list[dict[str, np.ndarray]]:
    params = nested(initial())
    optimizer = widen_accumulators(optimizer)
    state = widen_counts(optimizer.init(params))
    update = jax.jit(optimizer.update)
    found = []
    for step in range(STEPS):
        updates, state = update(nested(gradients(step, case)), state, params)
        params = jax.tree.map(jnp.add, params, updates)
        found.append(flat(params))
    return found


def main(out: Path) -> None:
    specs, arrays = {}, {}
    for case, optimizer in CASES.items():
        specs[case] = to_json(from_optax(optimizer, program_of((lambda params, x: x, nested(initial())))))
        with jax.enable_x64(True), wide_names():
            for step, params in enumerate(walk(optimizer, case)):
                arrays |= {f"{case}/{step}/{name}": array for name, array in params.items()}
    (out / "specs.json").write_text(json.dumps(specs))
    np.savez(out / "walks.npz", **arrays)


main(Path(sys.argv[1]))
