"""Which framework a Keras model computes with, without importing Keras or a framework."""

from __future__ import annotations

import sys
from typing import Any

from regauge.errors import BadCase


def backend_of(model: Any) -> str:
    """The backend of a Keras model: ``jax``, ``torch``, ``tensorflow``, ...; an empty string for anything else."""
    keras: Any = sys.modules.get("keras")
    layer = getattr(keras, "Layer", None)
    return str(keras.config.backend()) if layer is not None and isinstance(model, layer) else ""


def refuse_backend(model: Any, *taken: str) -> None:
    """Refuse a Keras model that computes with something else.

    Args:
        model: of Keras.
        taken: backends that are taken; JAX alone if none is named.

    Raises:
        BadCase: its backend is another one.
    """
    backend = backend_of(model)
    if backend in (taken or ("jax",)):
        return
    raise BadCase(
        f"the Keras model {model.name} does not compute with JAX",
        code="B116",
        received=f"keras.config.backend() == {backend!r}",
        why="Keras chooses its backend when it is imported, and its layers are of that framework alone",
        next='write os.environ["KERAS_BACKEND"] = "jax" above the first import of keras',
    )
