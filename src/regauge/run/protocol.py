"""What processes say to each other: jobs and replies as JSON, arrays as safetensors, trees as skeletons.

The parent and the workers of both frameworks import this module, so it knows neither framework. A *skeleton* is
the JSON form of a pytree: leaves are named, containers are kept.

    {"leaf": "inputs.0"}   {"none": true}   {"value": 3}
    {"tuple": [...]}       {"list": [...]}  {"dict": {"logits": ...}, "type": "BaseModelOutput"}

What has attributes in the place of keys is a *record*: {"dict": {...}, "type": "Batch", "record": "NamedTuple"}, or
"dataclass".
"""

from __future__ import annotations

import dataclasses
import functools
import json
import keyword
import os
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Skeleton = dict[str, Any]

SCHEMA_VERSION = 1


def flatten_tree(tree: Any, is_leaf: Callable[[Any], bool], prefix: str = "") -> tuple[Skeleton, dict[str, Any]]:
    """Split a pytree into its skeleton and its leaves by dotted name.

    Tuples, lists, mappings, named tuples and dataclasses are containers; numbers, strings, booleans and None are
    kept in the skeleton; everything for which `is_leaf` holds is a leaf. Anything else, and two
    leaves of one name, raises TypeError with its place.
    """
    leaves: dict[str, Any] = {}

    def visit(node: Any, name: str) -> Skeleton:
        if is_leaf(node):
            if name in leaves:
                raise TypeError(f"two arrays have the name {name}: a key of a dict holds a dot")
            leaves[name] = node
            return {"leaf": name}
        if node is None:
            return {"none": True}
        if isinstance(node, bool | int | float | str):
            return {"value": node}
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            return visit_record(dict(zip(node._fields, node, strict=True)), name, type(node), "NamedTuple")
        if isinstance(node, tuple | list):
            kind = "tuple" if isinstance(node, tuple) else "list"
            return {kind: [visit(item, join(name, str(i))) for i, item in enumerate(node)]}
        if isinstance(node, Mapping):
            return visit_items(node, name, type(node).__name__)
        if dataclasses.is_dataclass(node):
            fields = {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
            return visit_record(fields, name, type(node), "dataclass")
        raise TypeError(f"{name or 'the tree'} holds a {type(node).__qualname__}, which is not a pytree of arrays")

    def visit_items(items: Mapping[Any, Any], name: str, kind: str) -> Skeleton:
        skeleton = {str(key): visit(item, join(name, str(key))) for key, item in items.items()}
        return {"dict": skeleton} if kind == "dict" else {"dict": skeleton, "type": kind}

    def visit_record(items: Mapping[str, Any], name: str, kind: type, record: str) -> Skeleton:
        skeleton = visit_items(items, name, kind.__name__)
        named = all(key.isidentifier() and key[0] != "_" and not keyword.iskeyword(key) for key in items)
        return {**skeleton, "type": kind.__name__, "record": record} if named else skeleton

    def join(name: str, key: str) -> str:
        return f"{name}.{key}" if name else key

    return visit(tree, prefix), leaves


def unflatten_tree(skeleton: Skeleton, leaves: Mapping[str, Any]) -> Any:
    """The pytree of a skeleton; dataclasses and named tuples come back as named tuples, other mappings as dicts."""
    if "leaf" in skeleton:
        return leaves[skeleton["leaf"]]
    if "none" in skeleton:
        return None
    if "value" in skeleton:
        return skeleton["value"]
    if "dict" in skeleton:
        items = {key: unflatten_tree(item, leaves) for key, item in skeleton["dict"].items()}
        return record_class(skeleton["type"], tuple(items))(**items) if "record" in skeleton else items
    if "tuple" in skeleton:
        return tuple(unflatten_tree(item, leaves) for item in skeleton["tuple"])
    return [unflatten_tree(item, leaves) for item in skeleton["list"]]


@functools.cache
def record_class(name: str, fields: tuple[str, ...]) -> Any:
    """The named tuple that stands for records of one class: pytrees of both frameworks hold it."""
    return namedtuple(name, fields)  # type: ignore[misc]


def leaf_names(skeleton: Skeleton) -> list[str]:
    """Names of all leaves of a skeleton, in order."""
    if "leaf" in skeleton:
        return [skeleton["leaf"]]
    children: Any = ()
    if "dict" in skeleton:
        children = skeleton["dict"].values()
    elif "tuple" in skeleton or "list" in skeleton:
        children = skeleton.get("tuple", skeleton.get("list"))
    return [name for child in children for name in leaf_names(child)]


def has_size(skeleton: Any) -> bool:
    """Whether a graph's output tree holds a symbolic size, ``{"size": "batch"}``."""
    if not isinstance(skeleton, dict):
        return False
    parts: Any = skeleton.get("dict", skeleton.get("tuple", skeleton.get("list", ())))
    return "size" in skeleton or any(has_size(part) for part in (parts.values() if isinstance(parts, dict) else parts))


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees all of it or none: to a temporary name, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
