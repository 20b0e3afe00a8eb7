"""Emission for JAX: Flax NNX modules and jax.numpy."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from regauge.emit import construct, folder_files, layers, nnx_package, simplify
from regauge.emit.extended_layers import Extension, extension
from regauge.emit.files import Place, model_text
from regauge.emit.holders import Holder
from regauge.emit.indexing import indexing
from regauge.emit.layers import Context, Layer
from regauge.emit.lines import Line
from regauge.emit.norm_layers import NORMS
from regauge.emit.scopes import Scope
from regauge.emit.target import Use
from regauge.emit.train import emit_train
from regauge.ir.graph import Graph, Node, TensorSpec
from regauge.lower import lower
from regauge.lower.attention_layout import heads_after_time
from regauge.lower.broadcasts import without_expands
from regauge.lower.channels_last import channels_last
from regauge.lower.identities import without_identities
from regauge.lower.kept_axes import without_kept_axes
from regauge.lower.part_writes import with_joined_writes
from regauge.lower.plan import Plan
from regauge.lower.positions import without_positions
from regauge.lower.widths import require_narrow
from regauge.rules.aten_to_jax import TABLE
from regauge.rules.custom import with_own
from regauge.rules.table import RuleTable
from regauge.run.jax_source import load_sources


class NnxTarget:
    """`regauge.emit.target.Target` for Flax NNX."""

    framework = "jax"
    library = "Flax NNX"
    array_type: type | None = None  # rules for JAX do not ask
    libraries = frozenset({"jnp", "jax", "lax", "nnx", "np"})
    static_calls = frozenset(
        {"issubdtype", "finfo", "iinfo", "dtype", "iscomplexobj", "isdtype", "prod", "ceil", "floor", "sqrt"}
    )
    file_names: frozenset[str] = frozenset()
    sequential = "nnx.Sequential"
    sequences = frozenset({"torch.nn.modules.container.Sequential"})
    chain: tuple[str, ...] = ("layers",)
    # The last two are what model.train() and model.eval() set wherever a module has them.
    reserved = frozenset({*dir(nnx.Module), "deterministic", "use_running_average"})
    dict_names = frozenset(dir(nnx.Dict))
    copied_prefix = "Torch"
    evaluates = "self.deterministic"
    flow_calls: Mapping[str, Any] = MappingProxyType({})
    own_gradient = None
    stores_in_place = False
    scans = True
    follows_device = False
    original_method = "forward"

    def dtype(self, name: str) -> Any:
        return jnp.dtype(name)

    def dtype_argument(self, name: str) -> Any:
        return lower.dtype_argument(name)

    def dtype_expression(self, name: str) -> ast.expr:
        """int64 is written as `int`, whose width follows JAX's 64-bit setting."""
        if name in ("int64", "bool"):
            return ast.Name("int" if name == "int64" else "bool", ast.Load())
        return ast.Attribute(ast.Name("jnp", ast.Load()), name, ast.Load())

    def special_float(self, text: str) -> ast.expr:
        return ast.parse(text.replace("nan", "jnp.nan").replace("inf", "jnp.inf"), mode="eval").body

    def cast(self, expression: ast.expr, dtype: str) -> ast.expr:
        return ast.Call(ast.Attribute(expression, "astype", ast.Load()), [self.dtype_expression(dtype)], [])

    def permuted(self, expression: ast.expr, axes: tuple[int, ...]) -> ast.expr:
        if axes == (1, 0):
            return ast.Attribute(expression, "T", ast.Load())
        arguments: list[ast.expr] = [ast.Constant(axis) for axis in axes]
        return ast.Call(ast.Attribute(expression, "transpose", ast.Load()), arguments, [])

    def simplify(self, expression: ast.expr) -> ast.expr:
        return simplify.simplify(expression)

    def indexing(self, node: Node, spec: TensorSpec | None, use: Use) -> ast.expr | None:
        return indexing(node, spec, use)

    def weight(self, attribute: str) -> ast.expr:
        return ast.parse(f"{attribute}[...]", mode="eval").body

    def store(self, attribute: str, value: str) -> str:
        return f"{attribute}[...] = {value}"

    def old_value(self, read: ast.expr) -> ast.expr:
        return read

    def array_text(self, value: np.ndarray) -> str:
        if not jax.config.read("jax_enable_x64"):
            require_narrow(value)
        dtype = {"int64": "int", "bool": "bool"}.get(str(value.dtype), f"jnp.{value.dtype}")
        text = repr(value.tolist()).replace("inf", "jnp.inf").replace("nan", "jnp.nan")
        return f"jnp.array({text}, dtype={dtype})"

    def placed(self, constant: ast.expr, device: ast.expr | None) -> ast.expr:
        return constant

    def module_call(self, name: str, arguments: str = "") -> str:
        return f"{name}({arguments}, rngs=rngs)" if arguments else f"{name}(rngs=rngs)"

    def recomputing(self, call: ast.expr) -> ast.expr:
        return call  # no capture of PyTorch marks one: finding C148

    def list_text(self, items: Sequence[str]) -> str:
        if len(items) > 1 and len(set(items)) == 1:
            return f"nnx.List([{items[0]} for _ in range({len(items)})])"
        return f"nnx.List([{', '.join(items)}])"

    def dict_text(self, items: Mapping[str, str]) -> str:
        return f"nnx.Dict({', '.join(f'{key}={text}' for key, text in items.items())})"

    def init_lines(self, emission: Any, holder: Holder, constructors: Mapping[str, str]) -> list[Line]:
        return construct.init_lines(emission, holder, constructors)

    def layer_text(self, emission: Any, layer: Layer) -> str:
        return construct.layer_text(emission, layer)

    def recognise(self, scope: Scope, context: Context) -> Layer | None:
        return layers.recognise(scope, context, layers.LAYERS | NORMS)

    def extension(self, scope: Scope, context: Context) -> Extension | None:
        return extension(scope, context, layers.LAYERS | NORMS)

    def is_library_type(self, name: str) -> bool:
        return name.startswith("torch.nn.")

    def is_function(self, node: Node) -> bool:
        return True

    def function_module(self, node: Node) -> str | None:
        return None

    def rewritten(self, graph: Graph) -> Graph:
        graph = without_positions(with_joined_writes(without_identities(graph)))
        return heads_after_time(channels_last(without_kept_axes(without_expands(graph))))

    def check_specs(self, graph: Graph, plan: Plan) -> dict[str, str]:
        return lower.check_specs(graph, plan)

    def table(self) -> RuleTable:
        return with_own(TABLE)

    def emit_train(self, **parts: Any) -> str:
        return emit_train(**parts)

    def load_sources(self, texts: Mapping[str, str], directory: str) -> dict[str, ModuleType]:
        return load_sources(texts, directory)

    def check_map(self, conversion: Any, model: ModuleType) -> None:
        nnx_package.check_map(conversion, model)

    def versions(self) -> dict[str, str]:
        return nnx_package.versions()

    def readme_text(self, conversion: Any) -> str:
        return folder_files.readme_text(conversion)

    def test_text(self, conversion: Any, inputs: Any) -> str:
        return folder_files.test_text(conversion, inputs)

    def model_text(self, emission: Any, root: str, title: str) -> tuple[str, dict[int, Place]]:
        return model_text(emission.final_classes(), emission.library, root, title, emission.records)


NNX = NnxTarget()
