"""README.md and test_equivalence.py of a saved folder with an NNX module."""

from __future__ import annotations

from typing import Any

from regauge.emit.conversion import Conversion
from regauge.emit.records import record_names
from regauge.run.protocol import Skeleton

_TEST = '''"""Does this model give what the original gave? Run: python test_equivalence.py (or pytest).

Needs jax, flax and safetensors, and nothing else. The arrays of reference.safetensors are the original's own, in
evaluation mode.%(about)s
"""

from pathlib import Path

import jax
import numpy as np
from safetensors.flax import load_file

from model import %(classes)sload

# Rounding of a whole network in float32, relative to the norm of each output: 1000 units in the last place.
LIMIT = 1000 * np.finfo(np.float32).eps


def leaves(tree, name):
    """Arrays of nested dicts, tuples and lists by dotted name."""
%(records)s    if isinstance(tree, dict):
        return {k: v for key, item in tree.items() for k, v in leaves(item, f"{name}.{key}").items()}
    if isinstance(tree, (tuple, list)):
        return {k: v for i, item in enumerate(tree) for k, v in leaves(item, f"{name}.{i}").items()}
    return {} if tree is None else {name: tree}


def test_outputs():
    reference = load_file(Path(__file__).parent / "reference.safetensors")
    model = load()
    model.eval()
    with jax.default_matmul_precision("highest"):
        outputs = model(%(arguments)s)%(again)s
    found = leaves(outputs, "outputs")
    assert found, "the model returned no array"
    for name, value in found.items():%(passed_over)s
        wide = np.complex128 if np.iscomplexobj(value) else np.float64
        expected = np.asarray(reference[name], wide)
        distance = np.linalg.norm(np.asarray(value, wide) - expected)
        assert distance <= LIMIT * max(np.linalg.norm(expected), 1e-30), f"{name}: off by {distance}"


if __name__ == "__main__":
    test_outputs()
    print("equal to the original's outputs")
'''

# Of a model that draws random numbers itself; its streams go on from call to call.
_ABOUT_NOISE = """ Outputs that the model's own random
numbers enter cannot be equal, since the original drew others: of them only the shape is compared."""
_AGAIN = """
        drawn_again = leaves(model({arguments}), "outputs")"""
_PASSED_OVER = """
        if not np.array_equal(value, drawn_again[name]):
            assert value.shape == reference[name].shape, f"{name}: shape {value.shape}"
            continue"""


def test_text(conversion: Conversion, inputs: Skeleton) -> str:
    """The text of test_equivalence.py.

    Args:
        conversion: the conversion.
        inputs: skeleton of the reference inputs.
    """
    arguments = call_arguments(inputs)
    parts = {"arguments": arguments, "about": "", "again": "", "passed_over": ""}
    parts |= record_parts(conversion, inputs)
    if ".fork()" in conversion.sources["model"]:
        parts |= {"about": _ABOUT_NOISE, "again": _AGAIN.format(arguments=arguments), "passed_over": _PASSED_OVER}
    return _TEST % parts


def record_parts(conversion: Conversion, inputs: Skeleton) -> dict[str, str]:
    """What test_equivalence.py needs for named tuples and dataclasses: imports, and lines that read them by name."""
    source = conversion.sources["model"]
    classes = "".join(f"{name}, " for name in sorted(record_names(inputs)))
    records = _NAMED_TUPLE if "(NamedTuple):" in source else ""
    return {"classes": classes, "records": records + (_DATACLASS if "@dataclass" in source else "")}


_NAMED_TUPLE = """    if hasattr(tree, "_asdict"):
        tree = tree._asdict()
"""
_DATACLASS = """    if hasattr(tree, "__dataclass_fields__"):
        tree = vars(tree)
"""


def call_arguments(inputs: Skeleton) -> str:
    """The arguments of a call with the reference inputs."""
    if "dict" in inputs:
        return ", ".join(f"{key}={expression(item)}" for key, item in inputs["dict"].items())
    return ", ".join(expression(item) for item in inputs["tuple"])


def finding_lines(conversion: Conversion) -> str:
    """The section of README.md that says what was noticed; empty if nothing was."""
    if not conversion.findings:
        return ""
    lines = [f"* {f.code} {f.severity}{f' ({f.where})' if f.where else ''}: {f.text}" for f in conversion.findings]
    return "\n## Findings\n\n" + "\n".join(lines) + "\n"


def expression(tree: Any) -> str:
    """The expression that builds a tree of inputs from the arrays of reference.safetensors."""
    if "leaf" in tree:
        return f'reference["{tree["leaf"]}"]'
    if "none" in tree:
        return "None"
    if "value" in tree:
        return repr(tree["value"])
    if "record" in tree:
        return f"{tree['type']}({', '.join(f'{key}={expression(item)}' for key, item in tree['dict'].items())})"
    if "dict" in tree:
        return "{" + ", ".join(f'"{key}": {expression(item)}' for key, item in tree["dict"].items()) + "}"
    items = [expression(item) for item in tree.get("tuple", tree.get("list"))]
    if "list" in tree:
        return f"[{', '.join(items)}]"
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


_README = """# {name}: {root} in Flax NNX

Converted from PyTorch. `model.py` holds the modules under the original's names; `weights.safetensors` the weights,
by their path in the module; `weights.json` says which weight of the original each one is, and in which layout.

    from model import load

    model = load()
    model.eval()                  # or model.train(): dropout and batch statistics
    outputs = model({call})

Compiled, as a function of its arrays:

    graphdef, state = nnx.split(model)
    arrays = nnx.as_pure(state)   # bare arrays: jax.jit takes longer to unpack variables at every call
    infer = jax.jit(lambda arrays, inputs: nnx.merge(graphdef, arrays)({call}))
    outputs = infer(arrays, inputs)

It needs jax, flax{optax} and safetensors. `python test_equivalence.py` compares it with the original's outputs.
{training}{findings}"""

_TRAINING = """
## Training

    import train
    graphdef, params, state, opt_state = train.init(model)
    step = train.make_train_step(graphdef)
    params, state, opt_state, loss = step(params, state, opt_state, inputs, targets)

`train.loss` is the original's loss{optimizer}. `inputs` is a tuple of positional arguments or a dict of keywords.
"""

_LOSS_ONLY = """
## Loss

`train.py` holds the original's loss and its gradients (`loss_and_gradients`). The case had no optimizer, so there is no
training step: give one to the case and convert again.
"""


def readme_text(conversion: Conversion, call: str = "*inputs") -> str:
    """The text of README.md."""
    training = ""
    if "train" in conversion.sources:
        has_step = "def train_step" in conversion.sources["train"]
        training = _TRAINING.format(optimizer=", `train.make_optimizer` its optimizer") if has_step else _LOSS_ONLY
    return _README.format(
        name=conversion.name,
        root=conversion.root,
        call=call,
        optax=", optax" if training else "",
        training=training,
        findings=finding_lines(conversion),
    )
