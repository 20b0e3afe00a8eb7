"""Functions with a derivative of their own (`jax.custom_vjp`, `custom_jvp`) as `torch.autograd.Function` in ops.py."""

from __future__ import annotations

from typing import Any

from regauge.emit.expressions import NAME
from regauge.emit.flow import Group
from regauge.emit.flow_calls import packed
from regauge.emit.lines import Body
from regauge.emit.own_gradients import OwnGradient


class TorchOwnGradient(OwnGradient):
    """The text of one function with its derivative, which gets the function's arguments."""

    def text(self) -> str:
        """The two functions, the class that joins them, and the function that calls it."""
        groups = [Group(name, (value.name,)) for name, value in zip(self._names(), self.inputs, strict=True)]
        main = self._written(0, self.inputs, self.outputs, groups, lambda values: packed(values))
        cls = f"{NAME}_function"
        parameters = ", ".join(main.parameters)
        return "\n\n\n".join(
            [
                f"class {cls}(torch.autograd.Function):{self._place()}\n"
                "    @staticmethod\n"
                f"    def forward(ctx, {parameters}):\n"
                f"        ctx.save_for_backward({parameters})\n{_indented(main)}\n\n"
                "    @staticmethod\n"
                f"{self._backward_method()}",
                f"def {NAME}({parameters}):\n    return {cls}.apply({parameters})",
            ]
        )

    def _backward_method(self) -> str:
        flows: Any = self.node.argument("flows")
        given = iter(self.backward.outputs)
        outputs = [next(given) if flow else None for flow in flows] + [None] * self.read
        saved = self.backward.inputs[: len(self.saved)]
        cotangents = self._cotangents()
        names = self._names()
        hints = {value.name: names[place] for place, value in enumerate(saved)}
        many = len(cotangents) > 1
        hints |= {v.name: f"gradient_{i + 1}" if many else "gradient" for i, v in enumerate(cotangents)}
        groups = [Group(hints[value.name], (value.name,)) for value in (*saved, *cotangents)]
        inputs = [*saved, *cotangents]
        written = self._written(1, inputs, outputs, groups, lambda values: packed(values), hints)
        kept = ", ".join(written.parameters[: len(saved)])
        rest = ", ".join(written.parameters[len(saved) :])
        unpack = f"        {kept}{',' if len(saved) == 1 else ''} = ctx.saved_tensors"
        lines = [f"    def backward(ctx, {rest}):", unpack, _indented(written)]
        return "\n".join(lines)


def _indented(body: Body) -> str:
    return "\n".join(f"        {line.text}" for line in body.lines)
