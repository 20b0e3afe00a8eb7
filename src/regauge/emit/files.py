"""The text of emitted files: docstring, imports, library classes, emitted classes, loader, helpers.

Every line knows where it came from, so that a saved conversion can point from its source to the original's.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regauge.emit import imports
from regauge.emit.expressions import NAME, Helpers
from regauge.emit.lines import Body, Line
from regauge.emit.records import class_texts
from regauge.emit.target import target
from regauge.emit.type_aliases import is_alias, written_type
from regauge.errors import EmitError
from regauge.ir.graph import Scalar, Setting

LINE_LENGTH = 120  # of emitted files

# Where a line came from: the module's path in the original, and `file.py:12`.
Place = tuple[str, str]


@dataclass
class EmittedClass:
    """A class of model.py.

    Attributes:
        name: of the class.
        path: of the first module of the original that it stands for.
        place: `file.py:12`, the original class.
        init: statements of `__init__`.
        body: parameters and statements of `__call__`.
        type: qualified name of the original class.
        gathers: the parameter of the original's forward that was passed a container of arrays, if there was one.
        base: the layer that it extends; it has no `__init__` of its own then.
        arguments: names of the constructor's arguments besides `rngs`.
        shapes: of the arguments of the call; sizes that are free are None.
        settings, values: attributes of the original, as `Call` has them, where all modules that this stands for have
            the same value.
    """

    name: str
    path: str
    place: str
    init: list[Line]
    body: Body
    type: str = ""
    base: str = ""
    gathers: str = ""
    arguments: tuple[str, ...] = ()
    shapes: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    values: Mapping[str, Scalar] = field(default_factory=dict)


_LOADER = '''
def load(directory=Path(__file__).parent):
    """The model with the weights of weights.safetensors, whose names are paths in the module."""
    model = nnx.eval_shape(lambda: {root}(rngs=nnx.Rngs(0)))  # without values, which the file holds
    weights = load_file(Path(directory) / "weights.safetensors")
    state = nnx.state(model)
{values}
    nnx.update(model, state)
    return model
'''.strip()

_VALUES = """
    for path, variable in nnx.to_flat_state(state):
        variable.set_value(weights[".".join(map(str, path))])
""".strip("\n")

# Drawn here, not by the constructors: that would trace and compile the whole module once more for a few keys.
_VALUES_AND_STREAMS = """
    for number, (path, variable) in enumerate(nnx.to_flat_state(state)):
        if isinstance(variable, nnx.RngKey):
            variable.set_value(jax.random.fold_in(jax.random.key(0), number))
        elif isinstance(variable, nnx.RngCount):
            variable.set_value(jnp.zeros((), jnp.uint32))
        else:
            variable.set_value(weights[".".join(map(str, path))])
""".strip("\n")


# Layers that are stacked have a key each in one variable.
_STACKED_STREAMS = _VALUES_AND_STREAMS.replace(
    "jax.random.fold_in(jax.random.key(0), number)",
    "jax.random.split(jax.random.fold_in(jax.random.key(0), number), variable.shape)",
).replace("jnp.zeros(()", "jnp.zeros(variable.shape")


def _loader(root: str, classes: Iterable[EmittedClass]) -> str:
    init = [line.text for made in classes for line in made.init]
    if not any("nnx.Dropout(" in text or ".fork()" in text for text in init):
        return _LOADER.format(root=root, values=_VALUES)
    stacked = any("rngs.split(" in text for text in init)
    return _LOADER.format(root=root, values=_STACKED_STREAMS if stacked else _VALUES_AND_STREAMS)


def model_text(
    classes: Iterable[EmittedClass],
    library: Mapping[str, type],
    root: str,
    title: str,
    records: Mapping[str, list[Any]],
) -> tuple[str, dict[int, Place]]:
    """The text of model.py, and the place that each of its lines (from 1) came from.

    Args:
        classes: of the model, in the order in which they are written.
        library: classes that are copied, by their name in the file.
        root: name of the model's own class.
        title: the docstring.
        records: what it takes and returns, as `records_of` gives it.

    Raises:
        EmitError: the class of a record has a name that the file imports.
    """
    parts: list[list[tuple[str, Place | None]]] = []
    copied = [copied_text(name, cls) for name, cls in library.items()]
    for text in [*class_texts(records, [name for name, _ in _IMPORTS]), *copied]:
        parts.append([(line, None) for line in text.split("\n")])
    classes = tuple(classes)
    parts += [_class_lines(made, made.name == root) for made in classes]
    parts.append([(line, None) for line in _loader(root, classes).split("\n")])
    blank: list[tuple[str, Place | None]] = [("", None), ("", None)]
    body = [line for number, part in enumerate(parts) for line in ([*blank, *part] if number else part)]
    text = "\n".join(line for line, _ in body)
    header = f'"""{title}"""\n\n{import_lines(text)}\n\n\n'
    first = header.count("\n") + 1
    places = {first + number: place for number, (_, place) in enumerate(body) if place is not None}
    return f"{header}{text}\n", places


def copied_text(name: str, cls: type) -> str:
    """The text of a class that emitted files get a copy of, under this name."""
    source = inspect.getsource(cls).replace(f"class {cls.__name__}(", f"class {name}(", 1)
    return textwrap.dedent(source).rstrip()


_IMPORTS = (
    ("math", "import math"),
    ("dataclass", "from dataclasses import dataclass"),
    ("partial", "from functools import partial"),
    ("Path", "from pathlib import Path"),
    ("NamedTuple", "from typing import NamedTuple"),
    ("", ""),
    ("jax", "import jax"),
    ("jnp", "import jax.numpy as jnp"),
    ("optax", "import optax"),
    ("nnx", "from flax import nnx"),
    ("lax", "from jax import lax"),
    ("load_file", "from safetensors.flax import load_file"),
    ("", ""),
    ("ops", "import ops"),
)


_IMPORTS_OF_OPS = (
    ("math", "import math"),
    ("Callable", "from collections.abc import Callable"),
    ("Iterator", "from collections.abc import Iterator"),
    ("Sequence", "from collections.abc import Sequence"),
    ("Any", "from typing import Any"),
    ("jax", "import jax"),
    ("jnp", "import jax.numpy as jnp"),
    ("np", "import numpy as np"),
    ("nnx", "from flax import nnx"),
    ("Array", "from jax import Array"),
    ("torch", "import torch"),
    ("F", "import torch.nn.functional as F"),
    ("Tensor", "from torch import Tensor"),
    ("pytree", "from torch.utils import _pytree as pytree"),
    ("lax", "from jax import lax"),
    ("DTypeLike", "from jax.typing import DTypeLike"),
)


def import_lines(body: str) -> str:
    """The imports that a body of code of model.py or train.py needs."""
    return imports.import_lines(_IMPORTS, body)


def _class_lines(made: EmittedClass, is_root: bool) -> list[tuple[str, Place | None]]:
    comment = f"  # {made.place}" if made.place else ""
    call_comment = f"  # {made.body.comment}" if made.body.comment else ""
    lines: list[tuple[str, Place | None]] = [
        (f"class {made.name}({made.base or 'nnx.Module'}):{comment}", (made.path, made.place) if made.place else None)
    ]
    if not made.base:
        lines += [
            (f"    def __init__(self, *, {', '.join([*made.arguments, 'rngs: nnx.Rngs'])}):", None),
            *((f"        {line.text}", None) for line in made.init),
            ("", None),
        ]
    lines += [
        (f"    def __call__({', '.join(['self', *made.body.parameters])}):{call_comment}", None),
    ]
    for line in made.body.statements(is_root=is_root):
        place = (made.path, line.origin) if line.origin else None
        text = f"        {line.text}"
        commented = f"{text}  # {line.comment}"
        lines.append((commented if line.comment and len(commented) <= LINE_LENGTH else text, place))
    return lines


def _travels(found: Any, fn: Any) -> bool:
    """Whether a function comes along with one that calls it: rules' helpers, and those of a person's own file."""
    return found.__module__.startswith("regauge.rules") or found.__module__ == inspect.unwrap(fn).__module__


def ops_text(helpers: Helpers) -> str | None:
    """The text of ops.py: the helpers and the functions and classes that they use, each once, without decorators."""
    if not helpers.functions and not helpers.written:
        return None
    texts: dict[str, str] = {}
    pending = list(helpers.functions.values())
    constants: dict[str, str] = {}
    aliases: dict[str, Any] = {}
    imported = {name for name, _ in _IMPORTS_OF_OPS}
    written: dict[str, Any] = {}
    while pending:
        fn = pending.pop(0)
        first = written.setdefault(fn.__name__, fn)
        # families of rules each bring the helpers that they call, some of them with the same text
        if first is not fn and inspect.getsource(first) != inspect.getsource(fn):
            raise EmitError(
                f"two functions are called {fn.__name__}: of {written[fn.__name__].__module__} and of {fn.__module__}",
                next="give your own rule or its helper another name",
            )
        if fn.__name__ in texts:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
        source = textwrap.dedent(inspect.getsource(fn)).splitlines()
        if isinstance(tree, ast.FunctionDef | ast.ClassDef):
            tree.decorator_list = []  # what registers a rule stays behind
        texts[fn.__name__] = "\n".join(source[tree.lineno - 1 :])
        known = getattr(fn, "__globals__", None) or vars(sys.modules[fn.__module__])
        for name in dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)):
            found = known.get(name)
            if (inspect.isfunction(found) or inspect.isclass(found)) and _travels(found, fn):
                pending.append(found)
            elif isinstance(found, int | float | str | tuple | dict | frozenset) and not name.startswith("__"):
                constants[name] = f"{name} = {found!r}"
            elif is_alias(found) and name not in imported:
                # families of rules mean sizes of one axis or of several by one name: here it is either
                aliases[name] = aliases[name] | found if name in aliases else found
    own = [re.sub(r"(?<![\w.])ops\.", "", text.replace(NAME, name)) for name, text in helpers.written.items()]
    body = "\n\n\n".join([*texts.values(), *own])
    named = [f"{name} = {written_type(kind)}" for name, kind in aliases.items()]
    values = "\n".join([*named, *constants.values()])
    needed = imports.import_lines(_IMPORTS_OF_OPS, f"{values}\n{body}")
    framework = {"jax": "JAX", "torch": "PyTorch"}[target().framework]
    header = f'"""Helpers of model.py: operators that {framework} has no single function for."""\n\n'
    header += "from __future__ import annotations\n\n"
    return header + needed + "\n\n" + (values + "\n\n\n" if values else "\n") + body + "\n"
