"""What JAX says when it cannot run or trace a model, as an error with the person's own line and a way out."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import jax

from regauge.capture.jax_compat import is_own
from regauge.errors import BadCase, CaptureError, RegaugeError

_VALUES = "a captured graph is one sequence of operators for all values"


@dataclass(frozen=True)
class Entry:
    """What an error of JAX or of a library means for the person: by its kind, or by words that it says."""

    next: str
    what: str = ""
    kind: type[Exception] = Exception
    words: str = ""


# Decisions on values, most special first.
_DECISIONS = (
    Entry(
        kind=jax.errors.NonConcreteBooleanIndexError,
        what="x[mask] has a size that depends on values",
        next="write jnp.where(mask, x, 0)",
    ),
    Entry(
        kind=jax.errors.TracerBoolConversionError,
        what="Python decides on the values of an array",
        next="write jnp.where(condition, a, b) for values, jax.lax.cond(condition, f, g, x) for computations",
    ),
    Entry(
        kind=jax.errors.TracerArrayConversionError,
        what="numpy is given an array that is traced",
        next="write jax.numpy in place of numpy",
    ),
    Entry(
        kind=jax.errors.ConcretizationTypeError,
        what="Python asks for the value of an array",
        next="write arrays throughout, or give a Python number where the program needs a fixed one",
    ),
)
# A size that stays symbolic where Python needs a number.
_SIZES = (
    Entry(
        words="'_DimExpr' object cannot be interpreted as an integer",
        what="Python needs a number where the size of an axis is symbolic",
        next="write jnp.arange or jax.lax.fori_loop in place of range, or fix the size: dynamic=None",
    ),
    Entry(
        words="integer or boolean arrays are valid indices. Got ",
        what="an index is made of the size of an axis, which is symbolic",
        next="count from the end, x[-1], or write jax.lax.dynamic_index_in_dim; or fix the size: dynamic=None",
    ),
)
_SLICE = Entry(what="a slice ends where an array says", next="write jax.lax.dynamic_slice, with a fixed size")
_NO_ARRAY = re.compile(r"returned a value of type <class '([^']+)'>(?: at output component (\S+?),?(?:\s|$))?")

# Words of errors that models raise when they are called with what a person often forgets, and what to do.
_HINTS = (
    Entry(
        words="ScopeParamNotFoundError",
        next="give all variables that module.init(key, *inputs) returns: params=variables",
    ),
    Entry(words="ScopeCollectionNotFound", next="give that collection too: params={'params': ..., 'batch_stats': ...}"),
    Entry(words="ScopeParamShapeError", next="give inputs of the shape that the variables were made for"),
    Entry(
        words="InvalidRngError",
        next="a Linen model is given one stream, 'dropout'; draw other numbers from a key among the inputs",
    ),
    Entry(
        words="initialized inside an `hk.transform`",
        next="give hk.transform(function), with params=transformed.init(key, *inputs)",
    ),
    Entry(words="MissingRNGError", next="leave hk.without_apply_rng away, or give the key as an input"),
    Entry(words="must be a non-None PRNGKey", next="leave hk.without_apply_rng away, or give the key as an input"),
    Entry(
        words="state argument does not appear valid",
        next="give (transformed, params, state), as transformed.init returns them",
    ),
    Entry(
        words="invalid PRNG key data",
        next="make keys with jax.random.key(seed, impl='threefry2x32'), which both sides can draw from",
    ),
    Entry(words="deleted or donated", next="call the model on a copy: jnp.array(x)"),
    Entry(
        words="to static attribute", next="make every layer in __init__; a call must find the structure that it leaves"
    ),
)
_CALL = Entry(next="call the model with these inputs in evaluation mode: it must run before it can be converted")


def own_line(error: BaseException) -> str:
    """``file.py:12`` of the innermost own line in an error's traceback, or an empty string."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def own_source(error: BaseException) -> tuple[str, ...]:
    """The text of that line, as the details of an error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    return (frames[-1].line,) if frames and frames[-1].line else ()


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).strip().split("\n", 1)[0][:300] or type(error).__name__


def why_fixed(error: Exception) -> str:
    """Why a model cannot be traced with symbolic sizes, in one line that ends with the person's own."""
    found = next((entry.what for entry in _SIZES if entry.words in str(error)), first_line(error)[:160])
    line = own_line(error)
    return f"{found} ({line})" if line else found


def rejected(error: Exception, model: str, source: str = "") -> BadCase:
    """The model's own error when it is called with its inputs, traced or not."""
    said = f"{type(error).__name__}: {error}"
    return BadCase(
        f"{model} rejects its own inputs: {type(error).__name__}: {first_line(error)}",
        code="B110",
        where=own_line(error) or source,
        details=own_source(error),
        next=next((hint.next for hint in _HINTS if hint.words in said), _CALL.next),
    )


def not_traced(
    error: Exception, model: str, call: Callable[[], object], placeholders: tuple[str, ...] = (), source: str = ""
) -> RegaugeError:
    """The error for a trace that failed.

    Args:
        error: what came out of it; one of regauge's own is passed on.
        model: its name.
        call: runs the model on its inputs without a trace: what fails there too has nothing to do with the trace.
        placeholders: names of what holds arrays of this trace now.
        source: ``file.py:12`` where the model begins, for errors that have no line.
    """
    if isinstance(error, RegaugeError):
        return error
    if isinstance(error, jax.errors.UnexpectedTracerError) or (placeholders and not own_line(error)):
        return _leaked(error, model, placeholders, source)
    for decision in _DECISIONS:
        if isinstance(error, decision.kind):
            return _decides(error, model, decision)
    if isinstance(error, IndexError) and "static integers" in str(error):
        return _decides(error, model, _SLICE)
    if (found := _NO_ARRAY.search(str(error))) is not None:
        return _returns(model, found[1], found[2] or "", source)
    if placeholders:
        return _leaked(error, model, placeholders, source)
    try:
        call()
    except jax.errors.UnexpectedTracerError as late:
        return _leaked(late, model, placeholders, source)
    except RegaugeError as refused:
        return refused
    except Exception as own:  # whatever a model raises
        return rejected(own, model, source)
    if (size := next((entry for entry in _SIZES if entry.words in str(error)), None)) is not None:
        return _decides(error, model, size, "C230", "a captured graph serves every size that dynamic= leaves open")
    return CaptureError(
        f"{model} cannot be traced: {type(error).__name__}: {first_line(error)}",
        where=own_line(error) or source,
        details=own_source(error),
        next="change the line that is named so that jax.make_jaxpr(model)(*inputs) works",
    )


def _decides(error: Exception, model: str, decision: Entry, code: str = "C156", why: str = _VALUES) -> CaptureError:
    return CaptureError(
        f"{model} cannot be traced: {decision.what}",
        code=code,
        where=own_line(error),
        details=own_source(error),
        why=why,
        next=decision.next,
    )


def _returns(model: str, kind: str, place: str, source: str) -> CaptureError:
    return CaptureError(
        f"{model} returns something that is no array",
        code="C158",
        where=source,
        received=f"{kind} at {place}" if place else kind,
        why="the outputs of a module are tensors in tuples, lists, dicts and dataclasses",
        next="return the arrays alone, and keep the rest where the model is called",
    )


def _leaked(error: BaseException, model: str, names: tuple[str, ...], source: str) -> CaptureError:
    """The error for a model that keeps arrays of a trace and reads them after it; `names` say where, if known."""
    return CaptureError(
        f"{model} reads an array of a trace that has ended",
        code="C157",
        where=own_line(error) or source,
        received=", ".join(names),
        details=own_source(error),
        why="what a traced function writes to a global, a list or a closure is a placeholder without a value",
        next="return the array, and pass it in again as an input or as state",
    )
