"""The text of a torch train.py: the person's loss and optimizer as one training step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from regauge.emit.expressions import Helpers
from regauge.emit.torch_files import import_lines
from regauge.emit.torch_optimizer import optimizer_text
from regauge.emit.torch_slices import by_layer
from regauge.errors import UnsupportedOptimizer
from regauge.optax_specs import AnyOptimizer, OptaxOptimizer
from regauge.weights.mapping import WeightEntry

_TRAIN_STEP = '''
def train_step(model, optimizer, inputs, targets):
    """One step of a model in training mode; the loss before it."""
    outputs = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    value = loss(outputs, targets)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()
'''.strip()


def emit_train(
    *,
    loss: str,
    optimizer: AnyOptimizer | None,
    entries: Sequence[WeightEntry],
    name: str,
    unused: Iterable[str] = (),
    without_gradient: Iterable[str] = (),
    at_times: Iterable[str] = (),
    rewrites: bool = False,
    texts: bool = False,
    helpers: Helpers | None = None,
) -> str:
    """The text of train.py, valid Python that a formatter has not seen yet.

    Args:
        loss: the text of ``def loss(outputs, targets)``; may call torch, F, math and ops.
        optimizer: its specification; without one the file holds no `make_optimizer` and no `train_step`.
        entries: of the weight map.
        name: what reports call the case.
        unused: parameters of the original that the module does not hold.
        without_gradient: parameters of the original that the loss does not depend on.
        at_times: parameters that only some calls read.
        rewrites: whether the model changes its parameters itself; torch's optimizers step from what they hold.
        texts: whether there are texts among inputs or targets, which a step of torch takes.
        helpers: receives the functions that ops.py must hold.

    Raises:
        UnsupportedOptimizer: the optimizer has no counterpart in torch.
    """
    safe = name.replace("\\", "/").replace('"', "'")
    sections, title = [loss.strip()], f"The loss of {safe}."
    if optimizer is not None:
        if not isinstance(optimizer, OptaxOptimizer):
            raise UnsupportedOptimizer(f"{type(optimizer).__name__} is no optimizer of a JAX case")
        title = f"The training step of {safe}: its loss and {optimizer.name}, as optax computes them."
        targets = {e.label: e.target for e in entries if e.role == "parameter" and e.trainable}
        helpers = helpers if helpers is not None else Helpers()
        spec = by_layer(optimizer, entries)
        sections += optimizer_text(spec, targets, set(unused), set(without_gradient), set(at_times), helpers)
        sections.append(_TRAIN_STEP)
    body = "\n\n\n".join(sections)
    return f'"""{title}"""\n\n{import_lines(body)}\n\n\n{body}\n'
