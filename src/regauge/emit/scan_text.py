"""The statements of a scan over stacked layers, beside the loop that they stand for."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from regauge.emit.loops import singular
from regauge.emit.names import unique
from regauge.emit.stacks import Run
from regauge.ir.dropouts import dropout_rate

# Everything that a gradient needs is written to stacked arrays in a scan, where unrolled layers compute it again on the
# fly. Saving products alone is within a few per cent of unrolled layers; see docs/benchmarks.md.
_SAVING = "@nnx.remat(policy=jax.checkpoint_policies.dots_saveable, prevent_cse=False)"
_COSTLY = re.compile(r"conv|pool|norm\.Scalar|_rnn|lstm|gru|fft|linalg|sort|topk|cumsum|scatter")


def keeps_products_only(run: Run) -> bool:
    """Whether the gradient keeps the matrix products of a layer alone: the rest is cheap to compute again.

    Random numbers and convolutions are not, and a policy for both would be harder to read than it is worth.
    """
    nodes = list(run.calls[0].nodes())
    drops = any(node.op == "aten.dropout.default" and node.argument("p") for node in nodes)  # in training, if not here
    return not drops and not any(_COSTLY.search(node.op) or dropout_rate(node) for node in nodes)


def scan_name(run: Run) -> str:
    """What the function that is scanned is called: as the list is, if that says anything."""
    name = run.list.rsplit(".", 1)[-1]
    return name if len(name) > 1 and not name.isdigit() else "layers"


def scan_lines(run: Run, function: str, carried: str, arguments: Sequence[ast.expr]) -> list[str]:
    """The definition of the function that is scanned.

    Args:
        run: the layers.
        function: its name.
        carried: name of what goes from layer to layer.
        arguments: of the first layer; what is the same for all layers is read from around the function.
    """
    shared = [ast.unparse(a) for position, a in enumerate(arguments) if position != run.carry]
    names = {n.id for text in shared for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    carried = unique(carried, names)
    layer = singular(run.list)
    layer = layer if layer not in {carried, function, *names} else f"{layer}_module"
    given = [ast.unparse(a) for a in arguments]
    given[run.carry] = carried
    return [
        "@nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)",
        *([_SAVING] if keeps_products_only(run) else []),
        f"def {function}({carried}, {layer}):",
        f"    return {layer}({', '.join(given)})",
    ]


def stacked_text(constructor: str, depth: int) -> str:
    """The constructor of layers whose weights are stacked along a first axis, each drawn by itself."""
    return f"nnx.vmap(lambda rngs: {constructor})(rngs.split({depth}))"
