"""The job ``api``: which captured samples have a rule, what the rules call, and what names JAX has."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen, nnx
from jax import lax

from regauge.decide.audit.names import dotted
from regauge.errors import UnsupportedOps
from regauge.ir.serial import graph_from_json
from regauge.lower.plan import plan
from regauge.rules.aten_to_jax import TABLE
from regauge.rules.table import Rule
from regauge.run.protocol import read_json

ROOMS = {
    "jax.numpy": jnp,
    "jax.numpy.linalg": jnp.linalg,
    "jax.numpy.fft": jnp.fft,
    "jax.lax": lax,
    "jax.nn": jax.nn,
    "jax.random": jax.random,
    "jax.scipy.special": jax.scipy.special,
    "jax": jax,
    "flax.nnx": nnx,
    "flax.linen": linen,
    "optax": optax,
}


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the graphs of the torch side.

    Args:
        job: ``graphs``, the file that the torch job wrote.

    Returns:
        ``names``: name -> ``tried`` and ``converted`` samples, ``gaps`` (operators without a rule, or in a limit, with
        the number of samples that each stops), ``ops`` (the operators of those that convert), ``calls`` (what the rules
        call in JAX); ``jax``: public names of JAX's modules.
    """
    names = {name: _judged(samples) for name, samples in read_json(Path(job["graphs"])).items()}
    public = {
        room: sorted(name for name in dir(place) if name[0] != "_" and callable(getattr(place, name)))
        for room, place in ROOMS.items()
    }
    return {"names": names, "jax": public}


def _judged(samples: list[Any]) -> dict[str, Any]:
    converted, calls, ops = 0, [], []
    gaps: Counter[str] = Counter()
    for sample in samples:
        if isinstance(sample, str):
            gaps[sample] += 1
            continue
        graph = graph_from_json(sample)
        try:
            rules = plan(graph, TABLE).rules
        except UnsupportedOps as error:
            gaps.update(set(error.details))
            continue
        converted += 1
        ops += [node.op for node in graph.nodes]
        calls += [call for node in graph.nodes if node.op in rules for call in _calls(rules[node.op])]
    return {
        "tried": len(samples),
        "converted": converted,
        "gaps": dict(gaps),
        "ops": sorted(set(ops)),
        "calls": list(dict.fromkeys(calls)),
    }


def _calls(rule: Rule) -> Iterator[str]:
    """JAX functions that a rule calls, outermost of its return values first."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(rule.fn)))
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Return) and statement.value is not None:
            for node in ast.walk(statement.value):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    name = dotted(node.func)
                    if name.partition(".")[0] in ("jax", "jnp", "lax", "nnx"):
                        yield name
