"""Classes for the named tuples and dataclasses that a model takes and returns.

class Output(NamedTuple):
    logits: jax.Array
    loss: jax.Array | None = None
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from regauge.emit.syntax import given_fields
from regauge.emit.target import target
from regauge.errors import EmitError
from regauge.ir.graph import Graph


def records_of(graphs: Iterable[Graph | None]) -> dict[str, list[Any]]:
    """The records among inputs and outputs by the names of their classes, behind those that they have in them.

    Raises:
        EmitError: two classes of one name have different fields.
    """
    found: dict[str, list[Any]] = {}
    for graph in graphs:
        for tree in (graph.in_tree, graph.out_tree) if graph is not None else ():
            for record in _records(tree):
                same = found.setdefault(record["type"], [])
                if same and (list(same[0]["dict"]), same[0]["record"]) != (list(record["dict"]), record["record"]):
                    raise EmitError(
                        f"two classes {record['type']} with different fields are among the inputs and outputs",
                        why="both would be one class of the converted file",
                        next="give one of them another name",
                    )
                same.append(record)
    inner = {name: {part["type"] for record in same for part in _records(record)} for name, same in found.items()}
    try:
        order = list(TopologicalSorter({name: parts - {name} for name, parts in inner.items()}).static_order())
    except CycleError:
        order = list(found)
    return {name: found[name] for name in order}


def record_names(tree: Any) -> set[str]:
    """The names of the classes of all records in a skeleton."""
    return {record["type"] for record in _records(tree)}


def class_texts(records: Mapping[str, list[Any]], taken: Iterable[str]) -> list[str]:
    """The text of each class.

    Args:
        records: as `records_of` gives them.
        taken: names that the file imports.

    Raises:
        EmitError: a class has one of those names.
    """
    texts: dict[str, str] = {}
    for name, found in records.items():
        if name in taken:
            raise EmitError(
                f"the class {name} among the inputs or outputs has a name that the converted file needs itself",
                next="give it another name",
            )
        given = set.intersection(*({*given_fields(record)} for record in found))
        unknown = records.keys() - texts.keys()
        lines = []
        for field in found[0]["dict"]:
            kinds = _kinds([record["dict"][field] for record in found])
            text = " | ".join(kinds) if unknown.isdisjoint(kinds) else f'"{" | ".join(kinds)}"'
            lines.append(f"    {field}: {text}" + ("" if field in given else " = None"))
        heads = _DATACLASS[target().framework] if found[0]["record"] == "dataclass" else ("class {name}(NamedTuple):",)
        texts[name] = "\n".join([*(head.format(name=name) for head in heads), *lines])
    return list(texts.values())


_CONTAINERS = {"none": "None", "dict": "dict", "tuple": "tuple", "list": "list"}
_ARRAYS = {"jax": "jax.Array", "torch": "torch.Tensor"}
# A dataclass is a pytree of JAX once it is registered; torch.compile takes any.
_DATACLASS = {
    "jax": ("@jax.tree_util.register_dataclass", "@dataclass", "class {name}:"),
    "torch": ("@dataclass", "class {name}:"),
}


def _records(tree: Any) -> Iterator[Any]:
    if tree is None:
        return
    for part in tree["dict"].values() if "dict" in tree else tree.get("tuple", tree.get("list", ())):
        yield from _records(part)
    if "record" in tree:
        yield tree


def _kinds(found: Iterable[Any]) -> list[str]:
    """What a field may be, None last."""
    kinds = dict.fromkeys(_kind(tree) for tree in found)
    if list(kinds) == ["None"]:
        kinds = dict.fromkeys([_ARRAYS[target().framework], "None"])
    return sorted(kinds, key="None".__eq__)


def _kind(tree: Any) -> str:
    if "leaf" in tree:
        return _ARRAYS[target().framework]
    if "value" in tree or "size" in tree:
        return type(tree.get("value", 0)).__name__
    if "record" in tree:
        return str(tree["type"])
    return next(name for kind, name in _CONTAINERS.items() if kind in tree)
