"""The line to change: where an argument is given, and how the library there writes it."""

from __future__ import annotations

import linecache
import re

from regauge.verify.result import Place

_OF_CONSTRUCTORS = {"eps": "Norm", "momentum": "Norm"}  # arguments that are given where the layer is made, not called


def as_written(name: str, value: str, framework: str, library: str = "") -> str:
    """An argument of torch as the libraries of a framework write it: ``approximate=False`` is JAX's exact GELU.

    Args:
        name: of torch's argument.
        value: as text.
        framework: of the line that is to be changed.
        library: of the layers there, where it is known: "flax" calls eps epsilon.
    """
    if library == "flax" and name == "eps":
        return f"epsilon={value}"
    if framework == "jax" and name == "approximate":
        return f"approximate={value == 'tanh'}"
    if framework == "jax" and name == "momentum":  # Flax, Haiku and Equinox count the share of the old statistics
        return f"momentum={1 - float(value):.6g}"
    return f"{name}={value}"


def given_at(place: Place, argument: str) -> int:
    """The line on which the layer that runs at a place is made, for an argument of its constructor; else the place's.

    Args:
        place: a line of the person's code, such as ``return self.fc2(self.norm(x))``.
        argument: by torch's name.
    """
    kind = _OF_CONSTRUCTORS.get(argument)
    if kind is None or kind in place.code:
        return place.line
    members = set(re.findall(r"self\.(\w+)", place.code))
    made = [
        number
        for number, text in enumerate(linecache.getlines(place.file), start=1)
        if (found := re.match(rf"\s*self\.(\w+)\b[^=]*=.*{kind}", text)) and found[1] in members
    ]
    return made[0] if len(made) == 1 else place.line


def library_of(place: Place) -> str:
    """ "flax" for a file that imports it, an empty string for any other."""
    imports = (text for text in linecache.getlines(place.file) if re.match(r"\s*(import|from)\s+flax\b", text))
    return "flax" if any(imports) else ""
