"""Constructs that stop tracing, or mean something else under it: why, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass

from regauge.language import N_


@dataclass(frozen=True)
class HazardKind:
    """Texts of one kind, in English; the reports translate them.

    Attributes:
        stops: whether regauge refuses the model because of it; otherwise it is traced, with another meaning.
    """

    title: str
    why: str
    instead: str
    stops: bool = True


KINDS: dict[str, HazardKind] = {
    "value": HazardKind(
        N_("reads the value of a tensor"),
        N_("while a model is traced, tensors have shapes and no values"),
        N_("keep the tensor, and compute with it"),
    ),
    "branch": HazardKind(
        N_("decides on the value of a tensor"),
        N_("one traced program has to serve all values"),
        N_("torch.where(condition, a, b), or leave the check out of the model"),
    ),
    "shape": HazardKind(
        N_("makes a tensor whose size depends on values"),
        N_("compiled programs have fixed sizes"),
        N_("torch.where(mask, x, 0) and reductions with the mask; keep the padded size"),
    ),
    "numpy": HazardKind(
        N_("computes with NumPy on a tensor"),
        N_("NumPy needs values, and its result is a constant of the traced program"),
        N_("the torch function of the same name"),
    ),
    "data": HazardKind(
        N_("goes around gradients with .data"),
        N_("it changes or reads a tensor behind autograd's back, which a functional program cannot express"),
        N_("x.detach() to read, torch.no_grad() and an in-place method to write"),
        stops=False,
    ),
    "state": HazardKind(
        N_("keeps a tensor in an attribute during the call"),
        N_("what a call leaves behind is not among its results, so it is lost or leaks out of the trace"),
        N_("return it, or register a buffer and update that"),
    ),
    "global": HazardKind(
        N_("changes a global variable"),
        N_("it happens once, while tracing, and never again"),
        N_("pass it as an argument and return it"),
    ),
    "hook": HazardKind(
        N_("registers a hook"),
        N_("a converted model has no hooks: what they do is lost"),
        N_("return what the hook reads, or do its work in forward"),
    ),
    "print": HazardKind(
        N_("prints a tensor"),
        N_("it happens once, while tracing, and shows no values"),
        N_("return it and print outside; in JAX jax.debug.print"),
        stops=False,
    ),
    "random": HazardKind(
        N_("draws random numbers outside of the framework"),
        N_("it draws once, while tracing, and the number becomes a constant"),
        N_("torch.rand and its like, or an argument"),
        stops=False,
    ),
    "host": HazardKind(
        N_("calls the operating system"),
        N_("it happens once, while tracing, and never again"),
        N_("do it outside of the model"),
        stops=False,
    ),
    "memory": HazardKind(
        N_("works on the memory of a tensor"),
        N_("JAX arrays have no storage, strides or addresses"),
        N_("indexing, reshape or gather"),
    ),
}
