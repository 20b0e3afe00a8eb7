"""Attribute paths of what a module holds: `transformer.h.0` of the original stays `self.transformer.h[0]`.

Containers that are never called themselves (nn.ModuleList, nn.ModuleDict, nn.ParameterList, modules of which only
parts are used) become nnx.List and nnx.Dict, so that the names of the original survive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from regauge.emit.names import identifier, unique
from regauge.emit.target import target

Path = tuple[str | int, ...]
Tree = dict[str, Any]  # names of the original, dotted parts as nested dicts; a leaf is its whole name


def attribute_paths(names: Iterable[str], reserved: Collection[str] = ()) -> dict[str, Path]:
    """The attribute path of each name.

    Args:
        names: dotted names relative to the module: of sub-modules, then of weights.
        reserved: attributes that the module must not use.
    """
    tree: Tree = {}
    for name in names:
        level = tree
        *containers, last = name.split(".")
        for part in containers:
            if isinstance(level.get(part), str):  # a module that does not have this weight, which its parent reads
                containers, last = [], name.replace(".", "_")
                level = tree
                break
            level = level.setdefault(part, {})
        level[last] = name
    found: dict[str, Path] = {}
    _assign(tree, (), set(reserved), found)
    return found


def _assign(level: Tree, prefix: Path, taken: set[str], found: dict[str, Path]) -> None:
    pending = list(level.items())
    while pending:
        key, item = pending.pop(0)
        if isinstance(item, dict) and not (_is_list(item) or _is_dict(item)):
            pending = [(f"{key}_{part}", inner) for part, inner in item.items()] + pending
            continue
        attribute = unique(identifier(f"layer{key}" if key[0].isdigit() else key), taken)
        taken.add(attribute)
        if isinstance(item, str):
            found[item] = (*prefix, attribute)
        elif _is_list(item):
            _assign_list(item, (*prefix, attribute), found)
        else:
            _assign(item, (*prefix, attribute), set(target().dict_names), found)


def _assign_list(items: Tree, prefix: Path, found: dict[str, Path]) -> None:
    for key in sorted(items, key=int):
        item = items[key]
        if isinstance(item, str):
            found[item] = (*prefix, int(key))
        elif _is_list(item):
            _assign_list(item, (*prefix, int(key)), found)
        else:
            _assign(item, (*prefix, int(key)), set(target().dict_names), found)


def _is_list(items: Tree) -> bool:
    """Keys 0, 1, 2, ... without a gap; whatever the items hold can stand in a list."""
    if not all(key.isdigit() for key in items) or sorted(map(int, items)) != list(range(len(items))):
        return False
    return all(isinstance(item, str) or _is_list(item) or _is_dict(item) for item in items.values())


def _is_dict(items: Tree) -> bool:
    return not any(key[0].isdigit() or key in target().dict_names for key in items)


def container_text(items: Mapping[Path, str]) -> str:
    """The expression of what hangs below one attribute; `items` are constructors by the rest of their paths."""
    if () in items:
        return items[()]
    groups: dict[str | int, dict[Path, str]] = {}
    for path, text in items.items():
        groups.setdefault(path[0], {})[path[1:]] = text
    if all(isinstance(key, int) for key in groups):
        return target().list_text([container_text(groups[key]) for key in sorted(groups)])
    return target().dict_text({str(key): container_text(group) for key, group in groups.items()})
