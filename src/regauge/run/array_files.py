"""Arrays in safetensors files, written one at a time and read by mapping: a large model is never copied as a whole.

The library's own writer first makes bytes of all arrays; the weights, gradients and steps of a check are too large for
that. Its reader can read what is written here, except complex128, for which it has no name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Arrays = dict[str, np.ndarray]

_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "C64": "complex64",
    "C128": "complex128",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES = {name: code for code, name in _NAMES.items()}
_ALIGNED = 8  # bytes: the header is filled up to a multiple, and wide numbers stand before narrow ones


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of numpy's numbers and booleans; one that does not lie in order is copied by itself.

    Raises:
        TypeError: an array of another dtype.
    """
    entries: dict[str, object] = {}
    place = 0
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    for name in order:
        array = arrays[name]
        if array.dtype.name not in _CODES:
            raise TypeError(f"{name} is of dtype {array.dtype}, which no array file holds")
        entry = {"dtype": _CODES[array.dtype.name], "shape": list(array.shape)}
        entries[name] = {**entry, "data_offsets": [place, place + array.nbytes]}
        place += array.nbytes
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNED)
    Path(path).unlink(missing_ok=True)  # whoever has mapped an older file of this name keeps that one
    with Path(path).open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in order:
            _write(file, arrays[name])


def _write(file: BinaryIO, array: np.ndarray) -> None:
    if array.size:
        file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def load_arrays(path: Path | str) -> Arrays:
    """The arrays of a file, read-only: parts of the file that are looked at are read, and can be forgotten again."""
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    begin = 8 + length
    size = Path(path).stat().st_size
    data = np.memmap(path, np.uint8, "r", begin, (size - begin,)) if size > begin else np.empty(0, np.uint8)
    return {name: _array(data, entry) for name, entry in entries.items() if name != "__metadata__"}


def _array(data: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    start, stop = entry["data_offsets"]
    shape = tuple(entry["shape"])
    # a plain array on the mapped memory: np.memmap itself would keep its class through every operation
    return np.asarray(data[start:stop]).view(np.ndarray).view(_NAMES[entry["dtype"]]).reshape(shape)
