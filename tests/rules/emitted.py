"""The expression that emission writes for one operator, as a function: what a person will read must be right too."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from jax import lax
from samples import BoundRule, Sample, dtype_name

from regauge.emit.expressions import Helpers, write_node
from regauge.emit.nnx import ops_text
from regauge.ir.graph import DType, Node, Ref, TensorSpec, Value


def emitted_source(sample: Sample, bound: BoundRule) -> tuple[list[str], str, Helpers]:
    """Statements, expression and helpers that emission writes; arrays are called ``a0``, ``a1`` and so on."""
    specs: dict[str, TensorSpec] = {}
    arguments = tuple((name, _operand(value, specs)) for name, value in bound.arguments.items())
    node = Node(sample.op, arguments, (Value("result", TensorSpec((), "float32")),))
    helpers = Helpers()
    extras: dict[str, ast.expr] = {
        name: ast.Name(name, ast.Load()) for name in sample.extras if name != "channels_last"
    }
    for name in sample.extras:
        if name == "channels_last":
            node = node.with_arguments(channels_last=sample.extras[name])
    written = write_node(node, bound.rule, specs, lambda ref: ast.Name(ref.name, ast.Load()), extras, helpers)
    statements = [ast.unparse(ast.fix_missing_locations(s)) for s in written.statements]
    return statements, ast.unparse(ast.fix_missing_locations(written.expression)), helpers


def emitted_function(sample: Sample, bound: BoundRule) -> Callable[..., list[jax.Array]]:
    """The emitted text, compiled, as a function of the flat list of arrays."""
    statements, expression, helpers = emitted_source(sample, bound)
    names = [f"a{i}" for i in range(len(bound.tensors))]
    body = "\n".join(f"    {line}" for s in statements for line in s.splitlines())
    source = f"def call({', '.join(names)}):\n{body}\n    return {expression}\n"
    namespace: dict[str, Any] = {"jax": jax, "jnp": jnp, "lax": lax, "np": np, "math": math, "nnx": nnx}
    namespace |= {name: value for name, value in sample.extras.items() if name != "channels_last"}
    text = ops_text(helpers)
    if text is not None:
        ops: dict[str, Any] = {}
        exec(compile(text, "<ops>", "exec"), ops)
        namespace["ops"] = SimpleNamespace(**ops)
    exec(compile(source, "<emitted>", "exec"), namespace)

    def call(*arrays: jax.Array) -> list[jax.Array]:
        outputs = namespace["call"](*arrays)
        return list(outputs) if isinstance(outputs, tuple | list) else [outputs]

    return call


def _operand(value: Any, specs: dict[str, TensorSpec]) -> Any:
    if isinstance(value, torch.Tensor):
        name = f"a{len(specs)}"
        specs[name] = TensorSpec(tuple(value.shape), dtype_name(value.dtype))
        return Ref(name)
    if isinstance(value, torch.dtype):
        return DType(dtype_name(value))
    if isinstance(value, list | tuple):
        return tuple(_operand(v, specs) for v in value)
    if isinstance(value, torch.device | torch.layout | torch.memory_format):
        return str(value)
    return value
