"""The saved folder: sources, weights, reference arrays and everything that a tool needs, usable without regauge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regauge.collecting import new_objects_only
from regauge.emit.conversion import Conversion
from regauge.emit.target import target
from regauge.errors import OutputError
from regauge.ir.captured import Reference
from regauge.optax_specs import to_json
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
    modules = target().load_sources(conversion.sources, str(folder))
    target().check_map(conversion, modules["model"])
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
        (folder / "README.md").write_text(target().readme_text(conversion), encoding="utf-8")
        (folder / "test_equivalence.py").write_text(target().test_text(conversion, reference.inputs), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the folder cannot be written: {error.strerror or error}",
            where=str(error.filename or folder),
            next="free some space, or choose another directory with --out",
        ) from error


def symbols_json(conversion: Conversion) -> list[dict[str, Any]]:
    """The sizes that a conversion leaves open, as conversion.json has them."""
    return [{"name": s.name, "hint": s.hint, "low": s.low, "high": s.high} for s in conversion.symbols]


def _conversion_json(conversion: Conversion, reference: Reference) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "name": conversion.name,
        "direction": {"jax": "torch->jax", "torch": "jax->torch"}[target().framework],
        "root": conversion.root,
        "case": reference.case,
        "versions": {**reference.versions, **target().versions()},
        "inputs": reference.inputs,
        "known": list(reference.known),
        "targets": reference.targets,
        "outputs": reference.outputs,
        "has_loss": "train" in conversion.sources,
        "optimizer": None if conversion.optimizer is None else to_json(conversion.optimizer),
        "findings": [finding.to_json() for finding in conversion.findings],
        "symbols": symbols_json(conversion),
        "lines": {str(line): list(place) for line, place in sorted(conversion.places.items())},
    }
