"""What a saved folder of an NNX module is checked for before it is written."""

from __future__ import annotations

from types import ModuleType

import flax
import jax
import numpy as np
import optax
from flax import nnx

from regauge.emit.conversion import Conversion
from regauge.errors import WeightMismatch


def check_map(conversion: Conversion, model: ModuleType) -> None:
    """Compare the weight map with the variables that the emitted module really has.

    Raises:
        WeightMismatch: names that are unmapped, doubly mapped, unknown or changed in shape or dtype.
    """
    weight_map = conversion.weight_map
    abstract = nnx.eval_shape(lambda: getattr(model, conversion.root)(rngs=_one_key()))
    state = nnx.to_flat_state(nnx.state(abstract, nnx.Not(nnx.RngState)))
    variables = {".".join(map(str, path)): variable for path, variable in state}
    sources = {entry.source: entry.shape for entry in weight_map.entries}
    sources |= dict.fromkeys([*weight_map.tied, *weight_map.unused], ())
    weight_map.validate(sources, {name: variable.shape for name, variable in variables.items()})
    wrong = [
        f"{entry.target}: {variables[entry.target].dtype} instead of {entry.dtype}"
        for entry in weight_map.entries
        if not _same_dtype(str(variables[entry.target].dtype), entry.dtype)
    ]
    if wrong:
        raise WeightMismatch("variables of the emitted module have another dtype than the original", details=wrong)


class _OneKey(nnx.RngStream):
    """A stream that gives the same key each time.

    Shapes need no randomness, and an ordinary stream counts its keys: under a trace each count costs time that grows
    with all that was traced before, because flax 0.12 asks a tracer for its sharding and JAX composes an error text.
    """

    def __call__(self) -> jax.Array:
        return self.key[...]


def _one_key() -> nnx.Rngs:
    rngs = nnx.Rngs()
    rngs.default = _OneKey(0, tag="default")  # type: ignore[attr-defined]
    return rngs


def versions() -> dict[str, str]:
    """Versions of the libraries that the emitted code uses."""
    return {"jax": jax.__version__, "flax": flax.__version__, "optax": optax.__version__}


def _same_dtype(found: str, wanted: str) -> bool:
    """Without JAX's 64-bit mode an int64 table is held as int32, and so on."""
    return found == wanted or (np.dtype(found).kind == np.dtype(wanted).kind and wanted.endswith("64"))
