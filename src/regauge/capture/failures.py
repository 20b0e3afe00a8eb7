"""What torch says when it cannot run or export a model, as an error with the person's own line and a way out."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection
from dataclasses import dataclass

from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from regauge.capture.source_lines import own_line, own_source
from regauge.errors import BadCase, CaptureError
from regauge.ir.graph import Origin

_DATA_DEPENDENT = re.compile(
    r"data.dependent|Could not (guard|extract specialized integer)|unbacked|Dynamic control flow", re.IGNORECASE
)
_REWRITE = (
    "choose between values with torch.where(condition, a, b), keep conditions on shapes or on Python numbers that do "
    "not come from tensors, or leave that step out of the model"
)


_CONSTRAINTS = re.compile(r"Constraints violated|constraint.*specialized", re.IGNORECASE | re.DOTALL)
_SUGGESTED = re.compile(r"Suggested fixes:\n(.*?)(?:\n\s*\n|\Z)", re.DOTALL)
_NUMPY = re.compile(r"\.numpy\(\) is not supported|numpy\(\) .*tensor subclasses")
_UNFOLLOWED = re.compile(r"fake tensor in the exported program constant's list.*model attribute: ([\w.]+)", re.DOTALL)
_NO_GRADIENT = re.compile(
    r"does not require grad and does not have a grad_fn|appears to not have been used in the graph"
)
_FORMAT = re.compile(r"FakeTensor\.__format__|format string passed to FakeTensor")


@dataclass(frozen=True)
class DataDependent:
    """A node whose result, or the shape of it, depends on the values of tensors.

    Attributes:
        op: its operator.
        origin: where it came from.
        sizes: the sizes that depend on them, by their names; none where the result is a number.
    """

    op: str
    origin: Origin
    sizes: frozenset[str] = frozenset()


def rejected(error: Exception, model: str) -> BadCase:
    """The model's own error when it is called with the case's inputs, before any capture."""
    if _NO_GRADIENT.search(str(error)):
        return BadCase(
            f"{model} takes a derivative inside, of a tensor that has none: {_first_line(error)}",
            code="B117",
            where=own_line(error),
            details=[own_source(error)] if own_source(error) else (),
            why="in evaluation a model is called without gradients, as under torch.no_grad()",
            next="call x.requires_grad_() in forward before x is used, put torch.enable_grad() around that part, "
            "or write it as a function and use torch.func.grad(function)(x)",
        )
    return BadCase(
        f"{model} rejects the inputs of the case: {type(error).__name__}: {_first_line(error)}",
        code="B110",
        where=own_line(error),
        details=[own_source(error)] if own_source(error) else (),
        next="call model(*inputs), or model(**inputs) for a dict, yourself: it must run before it can be converted",
    )


def loss_rejected(error: BaseException, loss: str) -> BadCase:
    """The loss's own error when it is called with the model's outputs and the case's targets."""
    return BadCase(
        f"the loss {loss} rejects the model's outputs and the targets of the case: "
        f"{type(error).__name__}: {_first_line(error)}",
        code="B110",
        where=own_line(error),
        details=[own_source(error)] if own_source(error) else (),
        next="call loss(model(*inputs), targets) yourself: it must run before it can be converted",
    )


def is_data_dependent(error: BaseException) -> bool:
    """Whether export stopped because Python asked for the value of a tensor."""
    if isinstance(error, GuardOnDataDependentSymNode):
        return True
    return "DataDependent" in type(error).__name__ or bool(_DATA_DEPENDENT.search(str(error)))


def not_captured(error: Exception, model: str, asked: Collection[str] = ()) -> CaptureError:
    """The error for an export that failed; one of capture's own gets the line.

    Args:
        error: what torch.export raised.
        model: what to call it.
        asked: inputs whose values Python asked for.
    """
    if isinstance(error, CaptureError):
        return _with_line(error)
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    packs = any(name in str(error) for name in ("PackedElements", "PaddedBatch")) or any(
        file.endswith("nn/utils/rnn.py") for file in files
    )
    where, source = own_line(error), own_source(error)
    details = [source] if source else []
    if packs:
        return CaptureError(
            f"{model} uses the elements of a packed sequence: {_first_line(error)}",
            code="C107",
            where=where,
            details=details,
            why="how many there are, and in which order, depends on the lengths, which are values",
            next="unpack first, with pad_packed_sequence, and mask what is behind the end of each sequence",
        )
    if is_data_dependent(error):
        return CaptureError(
            f"{model} decides in Python on the values of a tensor",
            code="C104",
            where=where,
            details=details,
            why="a captured graph is one sequence of operators for all values",
            next=_way_out(asked),
        )
    if unfollowed := _UNFOLLOWED.search(str(error)):
        place = unfollowed[1].rpartition(".")[0]
        return CaptureError(
            f"{place or 'the model'} uses a tensor that a trace does not follow",
            code="C109",
            where=where,
            details=details,
            why="what is written to the .data of a parameter, or to a tensor that code keeps for itself, is no value "
            "of the graph, and would be lost",
            next="read x.detach() in the place of x.data; write the result to a new name, w = self.weight.clamp(-1, "
            "1), and use that; a tensor that is kept from call to call is a buffer",
        )
    if "Constraints violated" in str(error) and (suggested := _SUGGESTED.search(str(error))):
        return _of_another_form(model, suggested[1])
    why = ""
    if _NUMPY.search(str(error)):
        why = "numpy is not followed: use torch's function of the same name, or pass the array in as an input"
    elif _FORMAT.search(str(error)):
        why = "a graph has no values to print: print a returned tensor outside of forward"
    return CaptureError(
        f"torch.export cannot capture {model}: {type(error).__name__}: {_first_line(error)}",
        where=where,
        details=[*details, *_more_lines(error)],
        why=why,
        next="change the line that is named so that torch.export.export(model, inputs, strict=False) works",
    )


def _of_another_form(model: str, suggested: str) -> CaptureError:
    return CaptureError(
        f"{model} cannot have the symbolic sizes that it is given",
        code="C263",
        details=[line.strip() for line in suggested.splitlines() if line.strip()],
        why="torch.export proves what holds for all sizes, and finds that only those of such a form will do",
        next='give dynamic= sizes of that form, or leave it at dynamic="auto"',
    )


def needs_number(error: Exception, model: str, where: str) -> CaptureError | None:
    """The error for an export in which a size became a number that has to stay symbolic; None if it says otherwise.

    Args:
        error: what torch.export raised.
        model: what to call it.
        where: ``file.py:12`` where a size became a number, if one did.
    """
    if not where or not _CONSTRAINTS.search(str(error)):
        return None
    return CaptureError(
        f"{model} needs a number where dynamic_shapes ask for a symbolic size: {_first_line(error)}",
        code="C261",
        where=where,
        details=_more_lines(error),
        next="compute with the size itself at this line, or give Dim.AUTO, which fixes such a size",
    )


def _with_line(error: CaptureError) -> CaptureError:
    """The error with the own line that it came from, if it has none."""
    return CaptureError(
        error.what,
        code=error.code,
        where=error.where or own_line(error),
        received=error.received,
        why=error.why,
        next=error.next,
        details=error.details or ([source] if (source := own_source(error)) else ()),
    )


def depends_on_values(found: list[DataDependent], model: str, asked: Collection[str] = ()) -> CaptureError:
    """The error for a captured graph in which sizes or Python numbers come from the values of tensors.

    Args:
        found: the operators that give them.
        model: what to call it.
        asked: inputs whose values Python asked for.
    """
    places = [f"{item.op}  {item.origin.path or 'the model'} ({item.origin.line})" for item in found]
    return CaptureError(
        f"{model} computes sizes or Python numbers from the values of tensors",
        code="C104",
        where=found[0].origin.line,
        details=list(dict.fromkeys(places)),
        why="JAX compiles for fixed shapes: x[mask], nonzero, unique and .item() have no counterpart there",
        next=_way_out(asked),
    )


def _way_out(asked: Collection[str]) -> str:
    """What to do about a decision on values: on those of inputs alone it can be made once."""
    if not asked:
        return _REWRITE
    names = sorted(asked)
    listed = ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "")
    return (
        f"where the values of {', '.join(names)} are the same in every call, convert the model for these: "
        f"known=({listed}); or {_REWRITE}"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else ""


def _more_lines(error: BaseException) -> list[str]:
    lines = [line.strip()[:200] for line in str(error).splitlines() if line.strip()]
    return lines[1:6]


def unknown_container(error: TypeError, name: str) -> CaptureError:
    """An output that holds what is no tensor, such as an object of a class of one's own."""
    return CaptureError(
        f"an output of {name} is not a tree of tensors: {error}",
        code="C103",
        why="a converted model returns tuples, lists, dicts and dataclasses of arrays",
        next="wrap the model in a module that returns the tensors you need, make the class a dataclass, or tell torch "
        "of it with torch.utils._pytree.register_pytree_node",
    )
