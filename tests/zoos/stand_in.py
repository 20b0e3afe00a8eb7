"""timm without torchvision, which has no CPU build on the package index; no model of timm uses an operator of it.

timm names torchvision in transforms of images, data sets, feature extraction and a class of frozen norms that it
compares types with. While timm is imported, empty classes answer for these names; no model can call them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import ClassVar

MODULES = (
    *("torchvision", "torchvision.ops", "torchvision.ops.misc", "torchvision.models", "torchvision.datasets"),
    *("torchvision.models.feature_extraction", "torchvision.transforms", "torchvision.transforms.functional"),
)


class _Name(type):
    """The class of a name that stands for nothing; its attributes are their own full names."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__module__}.{cls.__name__}.{name}"


class _Names(ModuleType):
    """A module that makes an empty class of every name that it is asked for."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _Name(name, (), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


@contextmanager
def names_of_torchvision() -> Iterator[None]:
    """Inside, ``import torchvision`` finds names without contents, unless the library itself is there."""
    try:
        import_module("torchvision")
    except ImportError:
        pass
    else:
        yield
        return
    made = {name: _Names(name) for name in MODULES}
    for name, module in made.items():
        above, _, last = name.rpartition(".")
        if above:
            setattr(made[above], last, module)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


def timm() -> ModuleType:
    """The library timm.

    Raises:
        ImportError: it is not installed.
    """
    with names_of_torchvision():
        return import_module("timm")


def timm_in_transformers() -> None:
    """Tell transformers that its backbones of timm can be built: it asks for torchvision beside it."""
    try:
        timm()
    except ImportError:
        return
    from transformers.utils import import_utils

    import_utils.is_timm_available.cache_clear()
    with_torchvision, import_utils.is_torchvision_available = import_utils.is_torchvision_available, lambda: True
    try:
        import_utils.is_timm_available()  # keeps its answer
    finally:
        import_utils.is_torchvision_available = with_torchvision
