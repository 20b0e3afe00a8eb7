"""Numbers in classes that extend a layer, which the layer has as its attributes.

    class CausalConv1d(nnx.Conv):
        def __call__(self, x):
            return super().__call__(x)[:, : -self.padding]

Written as numbers, they would make a class of its own for every padding.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from regauge.emit.files import EmittedClass
from regauge.emit.syntax import text_of

# Arguments of the library's layers that they keep as they are given, under the same name.
_ATTRIBUTES = ("padding", "kernel_dilation", "strides")
_LAYERS = frozenset({"nnx.Conv"})


def with_attributes(classes: Sequence[EmittedClass], makers: Sequence[EmittedClass]) -> list[EmittedClass]:
    """Classes that extend one layer, with the layer's attributes for the numbers in which they differ.

    Args:
        classes: that extend one layer.
        makers: all classes that may make some of them.

    Returns:
        The classes as they were where they differ in more, or in numbers that are no attributes of the layer.
    """
    if len(classes) < 2 or classes[0].base not in _LAYERS:
        return list(classes)
    bodies = [_Body.of(made) for made in classes]
    if len({body.skeleton for body in bodies}) > 1:
        return list(classes)
    calls = [_keywords(made.name, makers) for made in classes]
    names: list[str] = []
    for column in zip(*(body.numbers for body in bodies), strict=True):
        values = [node.value for node in column]
        kept = [name for name in _ATTRIBUTES if _is_kept(name, values, calls)]
        if len({*values}) > 1 and not kept:
            return list(classes)
        names.append(kept[0] if len({*values}) > 1 else "")
    return [body.written(made, names) for body, made in zip(bodies, classes, strict=True)]


@dataclass
class _Body:
    """The statements of a class whose lines are whole statements, with their numbers; none where they are not."""

    statements: list[ast.stmt]
    numbers: list[ast.Constant]
    skeleton: str

    @staticmethod
    def of(made: EmittedClass) -> _Body:
        try:
            statements = [ast.parse(line.text).body[0] for line in made.body.lines]
        except SyntaxError:
            return _Body([], [], made.name)
        nodes = [node for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Constant)]
        numbers = [node for node in nodes if type(node.value) is int]
        values = [node.value for node in numbers]
        for node in numbers:
            node.value = 0
        skeleton = "\n".join(map(ast.dump, statements))
        for node, value in zip(numbers, values, strict=True):
            node.value = value
        return _Body(statements, numbers, skeleton)

    def written(self, made: EmittedClass, names: Sequence[str]) -> EmittedClass:
        """The class with an attribute of its layer in the place of every number that has a name."""
        named = {node: name for node, name in zip(self.numbers, names, strict=True) if name}

        class Attributes(ast.NodeTransformer):
            def visit_Constant(self, node: ast.Constant) -> ast.AST:
                return ast.parse(f"self.{named[node]}", mode="eval").body if node in named else node

        texts = [text_of(Attributes().visit(statement)) for statement in self.statements]
        lines = [replace(line, text=text) for line, text in zip(made.body.lines, texts, strict=True)]
        return replace(made, body=replace(made.body, lines=lines)) if named else made


def _is_kept(name: str, values: Sequence[object], calls: Sequence[Sequence[dict[str, object]]]) -> bool:
    """Whether all modules of every class are made with its value for this argument."""
    return all(
        made and all(call.get(name) == value for call in made) for value, made in zip(values, calls, strict=True)
    )


def _keywords(name: str, makers: Iterable[EmittedClass]) -> list[dict[str, object]]:
    """The arguments that are numbers, of every call that makes a class."""
    found: list[dict[str, object]] = []
    for maker in makers:
        text = "\n".join(line.text for line in maker.init)
        if f"{name}(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                pairs = [(k.arg, k.value) for k in node.keywords if k.arg is not None]
                found.append({arg: value.value for arg, value in pairs if isinstance(value, ast.Constant)})
    return found
