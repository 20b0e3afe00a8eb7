"""The saved folder: sources, weights, reference arrays and everything that a tool needs, usable without regauge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import flax
import jax
import numpy as np
import optax
from flax import nnx

from regauge.collecting import new_objects_only
from regauge.emit.conversion import Conversion
from regauge.emit.folder_files import readme_text, test_text
from regauge.errors import OutputError, WeightMismatch
from regauge.ir.captured import Reference
from regauge.optimizers import to_json
from regauge.run.jax_source import load_sources
from regauge.run.protocol import SCHEMA_VERSION, write_json
from regauge.weights.files import save_arrays, save_converted

Arrays = Mapping[str, np.ndarray]


@new_objects_only()
def write_folder(conversion: Conversion, weights: Arrays, arrays: Arrays, reference: Reference, folder: Path) -> None:
    """Write the saved folder.

    Args:
        conversion: the sources and the weight map.
        weights: the original's weights under their own names, in memory or a `WeightFile`.
        arrays: the reference inputs, targets and outputs, by the names that `reference` uses.
        reference: describes them.
        folder: is made if it is not there.

    Raises:
        OutputError: the folder cannot be written.
        WeightMismatch: the map is not total and one-to-one between the original and the emitted module.
    """
    modules = load_sources(conversion.sources, str(folder))
    check_map(conversion, modules["model"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("ops", "model", "train"):
            path = folder / f"{name}.py"
            if name in conversion.sources:
                path.write_text(conversion.sources[name], encoding="utf-8")
            else:
                path.unlink(missing_ok=True)
        save_converted(weights, conversion.weight_map, folder / "weights.safetensors")
        save_arrays(folder / "reference.safetensors", arrays)
        write_json(folder / "weights.json", conversion.weight_map.to_json())
        write_json(folder / "conversion.json", _conversion_json(conversion, reference))
        (folder / "README.md").write_text(readme_text(conversion), encoding="utf-8")
        (folder / "test_equivalence.py").write_text(test_text(conversion, reference.inputs), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the folder cannot be written: {error.strerror or error}",
            where=str(error.filename or folder),
            next="free some space, or choose another directory with --out",
        ) from error


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


def _conversion_json(conversion: Conversion, reference: Reference) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "name": conversion.name,
        "direction": "torch->jax",
        "root": conversion.root,
        "case": reference.case,
        "versions": {**reference.versions, **versions()},
        "inputs": reference.inputs,
        "targets": reference.targets,
        "outputs": reference.outputs,
        "has_loss": "train" in conversion.sources,
        "optimizer": None if conversion.optimizer is None else to_json(conversion.optimizer),
        "findings": [finding.to_json() for finding in conversion.findings],
        "symbols": [{"name": s.name, "hint": s.hint, "low": s.low, "high": s.high} for s in conversion.symbols],
        "lines": {str(line): list(place) for line, place in sorted(conversion.places.items())},
    }
