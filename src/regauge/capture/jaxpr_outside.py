"""Equations that reach out of a program of arrays: to the host, to several devices, to the memory of an array.

What only looks on (`jax.debug.print`) is left out, with a finding. The others become nodes without parameters, which
no graph could hold: the limits of `rules/lax_to_torch/outside.py` refuse them, all at once with everything else.
"""

from __future__ import annotations

from typing import Any

from regauge.findings import Finding
from regauge.ir.graph import Origin

# Primitives whose parameters are functions, meshes and memory; their names differ between releases.
OUTSIDE = frozenset({
    "pure_callback", "io_callback", "check", "ffi_call", "pallas_call", "custom_partitioning", "shard_map", "xla_pmap",
    "new_ref", "mutable_array", "get", "swap", "addupdate", "ref_get", "ref_set", "ref_addupdate", "freeze",
})  # fmt: skip


def looks_on(equation: Any, origin: Origin) -> Finding | None:
    """A finding for an equation that changes no value, whose results are its operands; None for all others."""
    name = equation.primitive.name
    where = origin.line or origin.path
    if name == "debug_print":
        text = "jax.debug.print is left out: print a returned array where the module is called."
        return Finding("C159", "warning", where, text)
    if name == "debug_callback":
        return Finding(
            "C159", "warning", where, "jax.debug.callback is left out: call the function on a returned array."
        )
    if name == "sharding_constraint":
        count = len(equation.params["sharding"].device_set)
        text = f"A sharding over {count} devices is left out: the module computes on one."
        return Finding("C160", "info" if count == 1 else "warning", where, text)
    return None
