"""What happens to gradients before an optimizer of torch steps, as calls of small functions of the file."""

from __future__ import annotations

from regauge.emit.schedules import number
from regauge.optax_specs import AddDecayedWeights, Clip, ClipByGlobalNorm, Part, Scale, SetToZero, ZeroNans

_CLIP_BY_GLOBAL_NORM = '''
def clip_by_global_norm(parameters, limit):
    """As optax has it; PyTorch's clip_grad_norm_ adds 1e-6 to the norm."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    for gradient in gradients:
        gradient.mul_(torch.clamp(limit / norm, max=1.0))
'''.strip()

_EACH = '''
def {name}(parameters{argument}):
    """{title}"""
    for p in parameters:
        if p.grad is not None:
            {statement}
'''.strip()


def _each(name: str, argument: str, title: str, statement: str) -> str:
    return _EACH.format(name=name, argument=argument and f", {argument}", title=title, statement=statement)


_HELPERS: dict[type[Part], tuple[str, str]] = {
    ClipByGlobalNorm: ("clip_by_global_norm", _CLIP_BY_GLOBAL_NORM),
    AddDecayedWeights: (
        "add_decayed_weights",
        _each(
            "add_decayed_weights",
            "weight_decay",
            "Weight decay as a part of the gradient, before it is clipped.",
            "p.grad.add_(p.detach(), alpha=weight_decay)",
        ),
    ),
    Scale: (
        "scale_gradients",
        _each("scale_gradients", "factor", "Every gradient times a factor.", "p.grad.mul_(factor)"),
    ),
    ZeroNans: (
        "zero_nans",
        _each("zero_nans", "", "Zero for every NaN in a gradient.", "p.grad.masked_fill_(p.grad.isnan(), 0.0)"),
    ),
    SetToZero: ("set_to_zero", _each("set_to_zero", "", "Gradients of zero.", "p.grad.zero_()")),
}


def preparation(part: Part) -> tuple[str, str]:
    """The call that does a part to gradients, with ``{parameters}``, and the text of the function that it calls.

    The text is empty where the function is torch's own.
    """
    if isinstance(part, Clip):
        return f"torch.nn.utils.clip_grad_value_({{parameters}}, {number(part.max_delta)})", ""
    name, text = _HELPERS[type(part)]
    if isinstance(part, ClipByGlobalNorm):
        argument = f", {number(part.max_norm)}"
    elif isinstance(part, AddDecayedWeights) and isinstance(part.weight_decay, int | float):
        argument = f", {number(part.weight_decay)}"
    else:
        argument = f", {number(part.factor)}" if isinstance(part, Scale) else ""
    return f"{name}({{parameters}}{argument})", text
