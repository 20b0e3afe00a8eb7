"""Emission for PyTorch: torch.nn modules."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from regauge.emit import torch_construct, torch_flow, torch_folder_files, torch_layers, torch_package, torch_recomputed
from regauge.emit.files import Place
from regauge.emit.holders import Holder
from regauge.emit.lax_indexing import indexing
from regauge.emit.layers import Context, Layer
from regauge.emit.lines import Line
from regauge.emit.scopes import Scope
from regauge.emit.target import Use
from regauge.emit.torch_activations import activation
from regauge.emit.torch_files import model_text
from regauge.emit.torch_own_gradients import TorchOwnGradient
from regauge.emit.torch_simplify import simplify
from regauge.emit.torch_train import emit_train
from regauge.ir.graph import Graph, Node, TensorSpec
from regauge.lower import torch_specs
from regauge.lower.channels_first import channels_first
from regauge.lower.diagonals import with_diagonals
from regauge.lower.identities import without_identities
from regauge.lower.lax_indices import with_index_forms
from regauge.lower.lax_keys import with_keys
from regauge.lower.lax_pooling import with_averages
from regauge.lower.lax_products import joined_products
from regauge.lower.plan import Plan
from regauge.lower.pools import pools
from regauge.lower.torch_idioms import torch_idioms
from regauge.lower.torch_means import with_means
from regauge.lower.triangles import with_triangles
from regauge.rules.lax_to_torch import TABLE
from regauge.rules.table import RuleTable
from regauge.run.torch_source import load_sources

_LIBRARIES = ("flax.", "equinox.", "haiku.", "keras.src.layers.")  # a model of Keras is its person's


class TorchTarget:
    """`regauge.emit.target.Target` for PyTorch."""

    framework = "torch"
    library = "PyTorch"
    array_type: type | None = torch.Tensor
    libraries = frozenset({"torch", "F", "nn", "math"})
    static_calls = frozenset({"finfo", "iinfo", "prod", "ceil", "floor", "sqrt"})
    file_names = frozenset({"torch", "F", "nn", "checkpoint"})
    sequential = "nn.Sequential"
    sequences = frozenset(
        {"flax.nnx.helpers.Sequential", "flax.linen.combinators.Sequential", "equinox.nn._sequential.Sequential"}
    )
    chain: tuple[str, ...] = ()
    reserved = frozenset(dir(nn.Module))
    dict_names = frozenset(dir(nn.ModuleDict)) | frozenset(dir(nn.ParameterDict))
    copied_prefix = "Flax"
    evaluates = "not self.training"
    flow_calls: Mapping[str, Any] = torch_flow.CALLS
    own_gradient = TorchOwnGradient
    stores_in_place = True
    scans = False
    follows_device = True
    original_method = "__call__"

    def dtype(self, name: str) -> Any:
        return torch_specs.torch_dtype(name)

    def dtype_argument(self, name: str) -> Any:
        return torch_specs.torch_dtype(name)

    def dtype_expression(self, name: str) -> ast.expr:
        return ast.parse(str(torch_specs.torch_dtype(name)), mode="eval").body

    def special_float(self, text: str) -> ast.expr:
        return ast.parse(text.replace("nan", "math.nan").replace("inf", "math.inf"), mode="eval").body

    def cast(self, expression: ast.expr, dtype: str) -> ast.expr:
        return ast.Call(ast.Attribute(expression, "to", ast.Load()), [self.dtype_expression(dtype)], [])

    def permuted(self, expression: ast.expr, axes: tuple[int, ...]) -> ast.expr:
        if axes == (1, 0):
            return ast.Attribute(expression, "T", ast.Load())
        arguments: list[ast.expr] = [ast.Constant(axis) for axis in axes]
        return ast.Call(ast.Attribute(expression, "permute", ast.Load()), arguments, [])

    def simplify(self, expression: ast.expr) -> ast.expr:
        return simplify(expression)

    def indexing(self, node: Node, spec: TensorSpec | None, use: Use) -> ast.expr | None:
        return indexing(node, spec, use)

    def weight(self, attribute: str) -> ast.expr:
        return ast.parse(attribute, mode="eval").body

    def store(self, attribute: str, value: str) -> str:
        expression = ast.parse(value, mode="eval").body
        if not isinstance(expression, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            value = f"({value})"
        return f"{attribute}.copy_({value}.detach())"

    def old_value(self, read: ast.expr) -> ast.expr:
        return ast.Call(ast.Attribute(read, "clone", ast.Load()), [], [])

    def placed(self, constant: ast.expr, device: ast.expr | None) -> ast.expr:
        if device is None or not isinstance(constant, ast.Call):
            return constant
        return ast.Call(constant.func, constant.args, [*constant.keywords, ast.keyword("device", device)])

    def array_text(self, value: np.ndarray) -> str:
        # the shortest numbers that torch.tensor rounds to these
        shown = value if value.dtype != np.float32 else np.vectorize(lambda x: float(str(x)), otypes=[float])(value)
        text = repr(shown.tolist()).replace("inf", "math.inf").replace("nan", "math.nan")
        return f"torch.tensor({text}, dtype=torch.{value.dtype})"

    def module_call(self, name: str, arguments: str = "") -> str:
        return f"{name}({arguments})"

    def recomputing(self, call: ast.expr) -> ast.expr:
        return torch_recomputed.recomputing(call) if isinstance(call, ast.Call) else call

    def list_text(self, items: Sequence[str]) -> str:
        return torch_construct.list_text(items)

    def dict_text(self, items: Mapping[str, str]) -> str:
        return torch_construct.dict_text(items)

    def init_lines(self, emission: Any, holder: Holder, constructors: Mapping[str, str]) -> list[Line]:
        return torch_construct.init_lines(emission, holder, constructors)

    def layer_text(self, emission: Any, layer: Layer) -> str:
        return torch_construct.layer_text(emission, layer)

    def recognise(self, scope: Scope, context: Context) -> Layer | None:
        return torch_layers.recognise(scope, context)

    def extension(self, scope: Scope, context: Context) -> None:
        return None

    def is_library_type(self, name: str) -> bool:
        return name.startswith(_LIBRARIES)

    def is_function(self, node: Node) -> bool:
        return activation(node) is not None

    def function_module(self, node: Node) -> str | None:
        return activation(node)

    def rewritten(self, graph: Graph) -> Graph:
        formed = with_keys(with_index_forms(without_identities(graph)))
        graph = channels_first(with_triangles(with_diagonals(with_means(formed))), self.is_library_type)
        return torch_idioms(joined_products(with_averages(pools(graph))))

    def check_specs(self, graph: Graph, plan: Plan) -> dict[str, str]:
        return torch_specs.check_specs(graph, plan)

    def table(self) -> RuleTable:
        return TABLE

    def emit_train(self, **parts: Any) -> str:
        return emit_train(**parts)

    def load_sources(self, texts: Mapping[str, str], directory: str) -> dict[str, ModuleType]:
        return load_sources(texts, directory)

    def check_map(self, conversion: Any, model: ModuleType) -> None:
        torch_package.check_map(conversion, model)

    def versions(self) -> dict[str, str]:
        return torch_package.versions()

    def readme_text(self, conversion: Any) -> str:
        return torch_folder_files.readme_text(conversion)

    def test_text(self, conversion: Any, inputs: Any) -> str:
        return torch_folder_files.test_text(conversion, inputs)

    def model_text(self, emission: Any, root: str, title: str) -> tuple[str, dict[int, Place]]:
        return model_text(
            emission.final_classes(), emission.library, root, title, emission.records, bool(emission.unused)
        )


TORCH = TorchTarget()
