"""The text of a torch train.py: the person's loss and optimizer as one training step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from regauge.emit.torch_files import import_lines
from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import Optimizer
from regauge.weights.mapping import WeightEntry


def emit_train(
    *,
    loss: str,
    optimizer: Optimizer | None,
    entries: Sequence[WeightEntry],
    name: str,
    unused: Iterable[str] = (),
    without_gradient: Iterable[str] = (),
) -> str:
    """The text of train.py, valid Python that a formatter has not seen yet.

    Args:
        loss: the text of ``def loss(outputs, targets)``; may call torch, F, math and ops.
        optimizer: its specification; without one the file holds no `make_optimizer` and no `train_step`.
        entries: of the weight map.
        name: what reports call the case.
        unused: parameters of the original that the module does not hold.
        without_gradient: parameters of the original that the loss does not depend on.

    Raises:
        UnsupportedOptimizer: the optimizer has no counterpart in torch.
    """
    if optimizer is not None:
        raise UnsupportedOptimizer(f"there is no counterpart of {type(optimizer).__name__} in torch yet")
    safe = name.replace("\\", "/").replace('"', "'")
    body = loss.strip()
    return f'"""The loss of {safe}."""\n\n{import_lines(body)}\n\n\n{body}\n'
