"""Weights on disk: safetensors read through a memory map and written tensor by tensor, bit for bit.

numpy has no bfloat16, so its arrays are here the uint16 arrays of the same bits; nothing is ever computed with them.
Format: https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from regauge.errors import WeightMismatch
from regauge.weights.layout import Shape
from regauge.weights.mapping import WeightEntry, WeightMap

UNUSED_PREFIX = "unused."

# neutral name -> (name in the format, numpy dtype of the same bits)
_FORMAT: dict[str, tuple[str, str]] = {
    "bool": ("BOOL", "?"),
    "uint8": ("U8", "u1"),
    "int8": ("I8", "i1"),
    "int16": ("I16", "<i2"),
    "int32": ("I32", "<i4"),
    "int64": ("I64", "<i8"),
    "uint32": ("U32", "<u4"),
    "uint64": ("U64", "<u8"),
    "float16": ("F16", "<f2"),
    "bfloat16": ("BF16", "<u2"),
    "float8_e4m3fn": ("F8_E4M3", "u1"),
    "float8_e5m2": ("F8_E5M2", "u1"),
    "float32": ("F32", "<f4"),
    "float64": ("F64", "<f8"),
    "complex64": ("C64", "<c8"),
}
_NAMES = {name: neutral for neutral, (name, _) in _FORMAT.items()}


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: its neutral dtype, its shape, and where its bytes begin and end."""

    dtype: str
    shape: Shape
    begin: int
    end: int


class WeightFile(Mapping[str, np.ndarray]):
    """A safetensors file as a read-only mapping of names to arrays; an array is read when it is asked for.

    Raises:
        WeightMismatch: the file is not safetensors, is cut off, or holds a dtype that regauge does not know.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.stored, self._start = _read_header(self.path)

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of a name, mapped from the file; bfloat16 as the uint16 array of its bits."""
        found = self.stored[name]
        dtype = np.dtype(_FORMAT[found.dtype][1])
        if found.begin == found.end:
            return np.empty(found.shape, dtype)
        offset = self._start + found.begin
        return np.memmap(self.path, dtype, mode="r", offset=offset, shape=found.shape or (1,)).reshape(found.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def _read_header(path: Path) -> tuple[dict[str, StoredArray], int]:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if 8 + length > size:
            raise _damaged(path, "is not a safetensors file, or is cut off")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise _damaged(path, "is not a safetensors file") from error
    if not isinstance(header, dict):
        raise _damaged(path, "is not a safetensors file")
    header.pop("__metadata__", None)
    stored: dict[str, StoredArray] = {}
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"is cut off or damaged at {name}") from error
        if dtype not in _NAMES:
            raise _damaged(path, f"holds {name} with the dtype {dtype}, which regauge does not know")
        found = StoredArray(_NAMES[dtype], shape, begin, end)
        if end - begin != _size(found.dtype, found.shape) or 8 + length + end > size:
            raise _damaged(path, f"is cut off or damaged at {name}")
        stored[name] = found
    return stored, 8 + length


def _damaged(path: Path, what: str) -> WeightMismatch:
    return WeightMismatch(f"{path.name} {what}", code="W120", where=str(path), next="write the file again")


_STRIP = 16  # elements; a cache line of float32


def _size(dtype: str, shape: Shape) -> int:
    return math.prod(shape) * np.dtype(_FORMAT[dtype][1]).itemsize


def dtype_name(array: np.ndarray) -> str:
    """The neutral dtype of an array; uint16 stands for the bits of bfloat16."""
    return "bfloat16" if array.dtype == np.uint16 else array.dtype.name


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a safetensors file; at most one of them is copied at a time.

    Args:
        path: is replaced at once when all is written, so that a reader sees the old file or the new one.
        arrays: by name, bfloat16 with its own dtype or as the uint16 array of its bits.

    Raises:
        WeightMismatch: a dtype that the format has no name for.
        OSError: the file cannot be written.
    """
    kinds = {name: (dtype_name(array), tuple(array.shape)) for name, array in arrays.items()}
    _write(path, kinds, lambda name: (arrays[name],), max((a.nbytes for a in arrays.values()), default=0))


def _write(
    path: Path,
    kinds: Mapping[str, tuple[str, Shape]],
    pieces: Callable[[str], Iterable[np.ndarray]],
    largest: int,
) -> None:
    """Write the file of these names, dtypes and shapes, asking for each array once, in the order of the file.

    An array comes in one or more pieces, which follow each other along its first axis; `largest` is the number of bytes
    of the largest piece of all.
    """
    unknown = [f"{name}: {dtype}" for name, (dtype, _) in kinds.items() if dtype not in _FORMAT]
    if unknown:
        raise WeightMismatch("safetensors has no such dtype", code="W130", details=unknown)
    # the widest dtype first keeps every array aligned to its own width
    order = sorted(kinds, key=lambda name: (-np.dtype(_FORMAT[kinds[name][0]][1]).itemsize, name))
    header: dict[str, dict[str, object]] = {}
    end = 0
    for name in order:
        dtype, shape = kinds[name]
        begin, end = end, end + _size(dtype, shape)
        header[name] = {"dtype": _FORMAT[dtype][0], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            buffer = bytearray(largest)
            for name in order:
                for piece in pieces(name):
                    _write_array(file, piece, np.dtype(_FORMAT[kinds[name][0]][1]), buffer)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_array(file: BinaryIO, array: np.ndarray, dtype: np.dtype, buffer: bytearray) -> None:
    """Write one array; a transposed one is copied into `buffer` first, which is used again for the next."""
    if array.flags.c_contiguous:
        # a change of byte order at most: the format is little-endian
        contiguous = array.view(np.uint16) if dtype == np.uint16 else array
        file.write(contiguous.astype(dtype, copy=False).reshape(-1).view(np.uint8).data)
        return
    copy = np.frombuffer(buffer, dtype, array.size).reshape(array.shape)
    source = array.view(np.uint16) if dtype == np.uint16 else array
    # numpy walks along the target, so that each element of a transposed source is another cache line: in strips of a
    # cache line's width they are read once, which takes a third of the time
    for start in range(0, array.shape[-1], _STRIP):
        copy[..., start : start + _STRIP] = source[..., start : start + _STRIP]
    file.write(copy.data.cast("B"))


def convert_weights(tensors: Mapping[str, np.ndarray], weight_map: WeightMap) -> dict[str, np.ndarray]:
    """The arrays of the converted module, by path, from those of the original.

    Views where the layout allows it and the module stacks nothing, so the weights are held at most twice.

    Args:
        tensors: the original's weights under their own names; tied ones may be there once or under each name.
        weight_map: every name of `tensors` must be in it.

    Raises:
        WeightMismatch: names, shapes or dtypes that differ from the map, all at once.
    """
    check_sources({name: (dtype_name(array), array.shape) for name, array in tensors.items()}, weight_map)
    return {target: weight_map.to_target(target, tensors) for target in weight_map.by_target}


def restore_weights(arrays: Mapping[str, np.ndarray], weight_map: WeightMap) -> dict[str, np.ndarray]:
    """The original's arrays, by name, from those of the converted module; tied names share one array.

    Args:
        arrays: by path in the module; unused weights, which the module does not hold, under ``unused.<name>``.
        weight_map: every path of `arrays` must be in it.

    Raises:
        WeightMismatch: paths, shapes or dtypes that differ from the map, all at once.
    """
    check_targets({name: (dtype_name(array), array.shape) for name, array in arrays.items()}, weight_map)
    tensors = {name: weight_map.to_source(name, arrays) for name in weight_map.by_source}
    stored = (name for name in weight_map.unused if UNUSED_PREFIX + name in arrays)
    tensors |= {name: arrays[UNUSED_PREFIX + name] for name in stored}
    return tensors | {name: tensors[kept] for name, kept in weight_map.tied.items() if kept in tensors}


def save_converted(source: Path | Mapping[str, np.ndarray], weight_map: WeightMap, target: Path) -> None:
    """Write the converted module's weights, and the unused ones, from those of the original.

    At most one tensor is copied at a time.

    Args:
        source: the original's weights under their own names, as a safetensors file or in memory.
        weight_map: every name of the source must be in it.
        target: the file to write.

    Raises:
        WeightMismatch: names, shapes or dtypes that differ from the map, all at once.
        OSError: the target cannot be written.
    """
    tensors = WeightFile(source) if isinstance(source, Path) else source
    kinds: dict[str, tuple[str, Shape]] = {n: (dtype_name(array), tuple(array.shape)) for n, array in tensors.items()}
    check_sources(kinds, weight_map)
    by_target = weight_map.by_target
    written = {entry.target: (entry.dtype, entry.target_shape) for entry in weight_map.entries}
    written |= {UNUSED_PREFIX + name: kinds[name] for name in weight_map.unused if name in kinds}

    def pieces(name: str) -> Iterator[np.ndarray]:
        for entry in by_target.get(name, ()):
            yield entry.to_target(tensors[entry.source])
        if name not in by_target:
            yield tensors[name.removeprefix(UNUSED_PREFIX)]

    sizes = [_size(entry.dtype, entry.shape) for entry in weight_map.entries]
    sizes += [_size(*kinds[name]) for name in weight_map.unused if name in kinds]
    _write(target, written, pieces, max(sizes, default=0))


def load_restored(path: Path, weight_map: WeightMap) -> dict[str, np.ndarray]:
    """The original's arrays from a weights.safetensors of `save_converted`, mapped from the file."""
    return restore_weights(WeightFile(path), weight_map)


def check_sources(kinds: Mapping[str, tuple[str, Shape]], weight_map: WeightMap) -> None:
    """Compare a file of the original's weights with the map.

    Args:
        kinds: (dtype, shape) by name.

    Raises:
        WeightMismatch: names that only one of the two has, shapes and dtypes that differ, all at once.
    """
    known = {*weight_map.by_source, *weight_map.tied, *weight_map.unused}
    problems = [f"{name}: not in the weight map" for name in kinds if name not in known]
    for entry in weight_map.entries:
        problems += _differences(entry.source, entry, entry.shape, kinds)
    _refuse(problems, "the original's weights are not those of the weight map")


def check_targets(kinds: Mapping[str, tuple[str, Shape]], weight_map: WeightMap) -> None:
    """Compare a file of the converted module's weights with the map, as `check_sources` does."""
    known = {*weight_map.by_target, *(UNUSED_PREFIX + name for name in weight_map.unused)}
    problems = [f"{name}: not in the weight map" for name in kinds if name not in known]
    for entry in weight_map.entries:
        problems += _differences(entry.target, entry, entry.target_shape, kinds)
    _refuse(problems, "the converted weights are not those of the weight map")


def _differences(name: str, entry: WeightEntry, shape: Shape, kinds: Mapping[str, tuple[str, Shape]]) -> list[str]:
    if name not in kinds:
        return [f"{name}: missing"]
    found_dtype, found_shape = kinds[name]
    problems: list[str] = []
    if tuple(found_shape) != tuple(shape):
        problems.append(f"{name}: has shape {tuple(found_shape)}, the map says {tuple(shape)}")
    if found_dtype != entry.dtype:
        problems.append(f"{name}: is {found_dtype}, the map says {entry.dtype}")
    return problems


def _refuse(problems: list[str], what: str) -> None:
    if problems:
        raise WeightMismatch(what, code="W140", details=list(dict.fromkeys(problems)), next="convert the case again")
