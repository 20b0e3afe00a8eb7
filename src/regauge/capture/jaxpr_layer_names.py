"""Where the number of a layer stands in the paths of modules and weights that one scan runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from regauge.capture import jax_compat
from regauge.ir.graph import ModuleStep


@dataclass(frozen=True)
class Place:
    """The list that layers are in.

    Attributes:
        path: of the list: ``encoder.layers``.
        below: the path in the original that the paths of a layer's parts begin with; the list takes its place.
        moved: modules of the original, outermost ones, that are parts of a layer.
        type: the class of a layer where the original has no module for it, else an empty string.
    """

    path: str
    below: str
    moved: tuple[str, ...]
    type: str = ""

    def weight(self, name: str, index: int) -> str:
        """The name of a weight of the layer with this number."""
        return f"{self.path}.{index}{name[len(self.below) :] if self.below else f'.{name}'}"

    def module(self, path: str, index: int) -> str:
        """The path of a module of the layer with this number; a module that all layers share keeps its own."""
        return self.weight(path, index) if any(is_below(path, module) for module in self.moved) else path


def is_below(path: str, module: str) -> bool:
    """Whether a path is that of a module, or of something in it."""
    return path == module or path.startswith(f"{module}.")


def place_of(stacked: Sequence[str], others: Collection[str], outermost: Collection[str], around: str) -> Place | None:
    """Where layers stand; None where no path is free.

    Args:
        stacked: names of the weights that the scan is over.
        others: names of all other weights.
        outermost: paths of the modules that the function calls itself.
        around: path of the module that the scan is in, an empty string for the model.
    """
    moved = tuple(m for m in outermost if any(is_below(name, m) for name in stacked))
    if any(is_below(name, module) for module in moved for name in others):
        return None  # a layer with weights of its own and some that all share
    if len(moved) == 1 and all(is_below(name, moved[0]) for name in stacked):
        return Place(moved[0], moved[0], moved)
    common = _listed(_common(stacked))
    deeper = is_below(common, around) and common != around if around else bool(common)
    if (
        deeper
        and not any(is_below(name, common) for name in others)
        and not any(is_below(common, m) for m in outermost)
    ):
        parent, _, name = common.rpartition(".")
        path = _free(parent, [*others, *outermost]) if name.startswith("__") else common
        return Place(path, common, moved, _type(path))
    if around and not all(is_below(name, around) for name in stacked):
        return None
    path = _free(around, [*stacked, *others, *outermost])
    return Place(path, around, moved, _type(path))


def _common(names: Sequence[str]) -> str:
    """The longest path that all these weights are below."""
    parts = [name.split(".")[:-1] for name in names]
    depth = 0
    while all(len(part) > depth and part[depth] == parts[0][depth] for part in parts):
        depth += 1
    return ".".join(parts[0][:depth])


def _listed(path: str) -> str:
    """The path as far as its first name that nobody chose: Haiku's ``__layer_stack_no_per_layer``."""
    parts = path.split(".")
    made = next((place for place, part in enumerate(parts) if part.startswith("__")), len(parts))
    return ".".join(parts[: made + 1])


def _free(parent: str, taken: Collection[str]) -> str:
    """The path of a list of layers, ``layers`` or ``layers_1``, in a module that has nothing else of this name."""
    path = f"{parent}.layers" if parent else "layers"
    numbered = chain([path], (f"{path}_{number}" for number in count(1)))
    return next(found for found in numbered if not any(is_below(other, found) for other in taken))


def _type(path: str) -> str:
    """The class of what is in a list: ``EncoderBlock`` for ``encoder_blocks``."""
    words = path.rpartition(".")[2].removesuffix("s").split("_")
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return f"layers.{name if name.isidentifier() else 'Layer'}"


def outermost_modules(
    jaxpr: Any, steps: Callable[[str], tuple[ModuleStep, ...]], around: str, modules: Sequence[ModuleStep]
) -> dict[str, ModuleStep]:
    """The modules that a function calls itself, by path: the first call of each.

    Args:
        jaxpr: of the function, open.
        steps: gives the module calls of a name stack.
        around: the scopes of the equation that runs the function.
        modules: the calls that it is run in.
    """
    found: dict[str, ModuleStep] = {}
    for stack in dict.fromkeys(_stacks(jaxpr, around)):
        for step in steps_inside(steps(stack), modules)[:1]:
            found.setdefault(step.path, step)
    return found


def steps_inside(steps: Sequence[ModuleStep], around: Sequence[ModuleStep]) -> Sequence[ModuleStep]:
    """The module calls after those that stand around."""
    count = 0
    while count < min(len(steps), len(around)) and steps[count] == around[count]:
        count += 1
    return steps[count:]


def _stacks(jaxpr: Any, around: str) -> Iterator[str]:
    for equation in jaxpr.eqns:
        own = "/".join(part for part in (around, jax_compat.name_stack(equation)) if part)
        yield own
        for body in jax_compat.branches(equation.params):
            yield from _stacks(jax_compat.opened(body)[0], own)
