"""The text of a torch model.py: docstring, imports, classes, loader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regauge.emit import imports
from regauge.emit.files import EmittedClass, Place, copied_text
from regauge.emit.records import class_texts
from regauge.emit.torch_recomputed import with_checkpoints

_LOADER = '''
def load(directory=Path(__file__).parent):
    """The model with the weights of weights.safetensors, in evaluation mode."""
    with torch.device("meta"):  # without values, which the file holds
        model = {root}()
    model.load_state_dict({weights}, assign=True)
    return model.eval()
'''.strip()

_WEIGHTS = 'load_file(Path(directory) / "weights.safetensors")'
# The file also keeps what the original has and nothing reads.
_WEIGHTS_OF_MODEL = "{name: weights[name] for name in model.state_dict()}"

_GROUP = '''
class Group(nn.Module):
    """Modules, parameters and buffers by name."""

    def __init__(self, **items):
        super().__init__()
        for name, item in items.items():
            setattr(self, name, item)
'''.strip()

# Items of a list are attributes named by their numbers, of which Python's syntax knows none.
_ITEM = """

    def __getitem__(self, number):
        return getattr(self, str(number))
""".rstrip()

_IMPORTS = (
    ("math", "import math"),
    ("dataclass", "from dataclasses import dataclass"),
    ("Path", "from pathlib import Path"),
    ("NamedTuple", "from typing import NamedTuple"),
    ("", ""),
    ("torch", "import torch"),
    ("F", "import torch.nn.functional as F"),
    ("load_file", "from safetensors.torch import load_file"),
    ("nn", "from torch import nn"),
    ("checkpoint", "from torch.utils.checkpoint import checkpoint"),
    ("", ""),
    ("ops", "import ops"),
)

Lines = list[tuple[str, Place | None]]


def model_text(
    classes: Sequence[EmittedClass],
    library: Mapping[str, type],
    root: str,
    title: str,
    records: Mapping[str, list[Any]],
    partly: bool = False,
) -> tuple[str, dict[int, Place]]:
    """The text of model.py, and the place that each of its lines (from 1) came from.

    Args:
        classes: of the model, in the order in which they are written.
        library: classes that are copied, by their name in the file.
        root: name of the model's own class.
        title: the docstring.
        records: what it takes and returns, as `records_of` gives it.
        partly: whether the file of the weights holds more than the module has.

    Raises:
        EmitError: the class of a record has a name that the file imports.
    """
    parts = [_plain(text) for text in class_texts(records, [name for name, _ in _IMPORTS])]
    parts += [_plain(copied_text(name, cls)) for name, cls in library.items()]
    parts += [_class_lines(made, made.name == root) for made in classes]
    lines = [line for part in parts for line, _ in part]
    if any("Group(" in line for line in lines):
        parts.insert(0, _plain(_GROUP + _ITEM if any("Group(**{" in line for line in lines) else _GROUP))
    loader = _LOADER.format(root=root, weights=_WEIGHTS_OF_MODEL if partly else _WEIGHTS)
    if partly:
        loader = loader.replace("    model.load", f"    weights = {_WEIGHTS}\n    model.load")
    parts.append(_plain(loader))
    blank: Lines = [("", None), ("", None)]
    body = [line for number, part in enumerate(parts) for line in ([*blank, *part] if number else part)]
    text = "\n".join(line for line, _ in body)
    header = f'"""{title}"""\n\n{import_lines(text)}\n\n\n'
    first = header.count("\n") + 1
    places = {first + number: place for number, (_, place) in enumerate(body) if place is not None}
    return f"{header}{text}\n", places


def import_lines(body: str) -> str:
    """The imports that a body of code of model.py or train.py needs."""
    return imports.import_lines(_IMPORTS, body)


def _plain(text: str) -> Lines:
    return [(line, None) for line in text.split("\n")]


def _class_lines(made: EmittedClass, is_root: bool) -> Lines:
    comment = f"  # {made.place}" if made.place else ""
    call_comment = f"  # {made.body.comment}" if made.body.comment else ""
    lines: Lines = [(f"class {made.name}(nn.Module):{comment}", (made.path, made.place) if made.place else None)]
    if made.init:
        parameters = ", ".join(["self", *made.arguments])
        lines += [(f"    def __init__({parameters}):", None), ("        super().__init__()", None)]
        lines += [(f"        {line.text}", None) for line in made.init]
        lines.append(("", None))
    lines.append((f"    def forward({', '.join(['self', *made.body.parameters])}):{call_comment}", None))
    for line in made.body.statements(is_root=is_root):
        place = (made.path, line.origin) if line.origin else None
        lines.append(
            (f"        {with_checkpoints(line.text)}" + (f"  # {line.comment}" if line.comment else ""), place)
        )
    return lines
