"""README.md and test_equivalence.py of a saved folder with a torch module."""

from __future__ import annotations

from regauge.emit.conversion import Conversion
from regauge.emit.folder_files import call_arguments, finding_lines, record_parts
from regauge.run.protocol import Skeleton

_TEST = '''"""Does this model give what the original gave? Run: python test_equivalence.py (or pytest).

Needs torch and safetensors, and nothing else. The arrays of reference.safetensors are the original's own, in
evaluation mode.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

from model import %(classes)sload

# Rounding of a whole network in float32, relative to the norm of each output: 1000 units in the last place.
LIMIT = 1000 * torch.finfo(torch.float32).eps


def leaves(tree, name):
    """Tensors of nested dicts, tuples and lists by dotted name."""
%(records)s    if isinstance(tree, dict):
        return {k: v for key, item in tree.items() for k, v in leaves(item, f"{name}.{key}").items()}
    if isinstance(tree, (tuple, list)):
        return {k: v for i, item in enumerate(tree) for k, v in leaves(item, f"{name}.{i}").items()}
    return {} if tree is None else {name: tree}


def test_outputs():
    reference = load_file(Path(__file__).parent / "reference.safetensors")
    model = load()
    with torch.no_grad():
        outputs = model(%(arguments)s)
    found = leaves(outputs, "outputs")
    assert found, "the model returned no tensor"
    for name, value in found.items():
        wide = torch.complex128 if value.is_complex() else torch.float64
        expected = reference[name].to(wide)
        distance = torch.linalg.vector_norm(value.to(wide) - expected)
        assert distance <= LIMIT * max(torch.linalg.vector_norm(expected), 1e-30), f"{name}: off by {distance}"


if __name__ == "__main__":
    test_outputs()
    print("equal to the original's outputs")
'''


def test_text(conversion: Conversion, inputs: Skeleton) -> str:
    """The text of test_equivalence.py.

    Args:
        conversion: the conversion.
        inputs: skeleton of the reference inputs.
    """
    return _TEST % {"arguments": call_arguments(inputs), **record_parts(conversion, inputs)}


_README = """# {name}: {root} in PyTorch

Converted from JAX. `model.py` holds the modules under the original's names; `weights.safetensors` the weights, by their
name in the state dict; `weights.json` says which weight of the original each one is, and in which layout.

    from model import load

    model = load()                # in evaluation mode; model.train(): dropout and batch statistics
    outputs = model(*inputs)

It needs torch and safetensors. `python test_equivalence.py` compares it with the original's outputs.
{training}{findings}"""

_TRAINING = """
## Training

    import train

    model.train()
    optimizer = train.make_optimizer(model.named_parameters())
    loss = train.train_step(model, optimizer, inputs, targets)

`train.loss` is the original's loss, `train.make_optimizer` its optimizer with clipping and schedule. `inputs` is a
tuple of positional arguments or a dict of keywords. `optimizer.state_dict()` and `load_state_dict` keep its progress.
"""

_LOSS_ONLY = """
## Loss

`train.py` holds the original's loss. The case had no optimizer, so there is no training step: give one to the case and
convert again.
"""


def readme_text(conversion: Conversion) -> str:
    """The text of README.md."""
    training = ""
    if "train" in conversion.sources:
        training = _TRAINING if "def train_step" in conversion.sources["train"] else _LOSS_ONLY
    return _README.format(
        name=conversion.name, root=conversion.root, training=training, findings=finding_lines(conversion)
    )
