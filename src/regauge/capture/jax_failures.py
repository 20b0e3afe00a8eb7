"""What JAX says when it cannot run or trace a model, as an error with the person's own line and a way out."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable

import jax

from regauge.capture.jax_compat import is_own
from regauge.errors import BadCase, CaptureError, RegaugeError

_VALUES = "a captured graph is one sequence of operators for all values"
_BRANCH = "jnp.where(condition, a, b) for values, jax.lax.cond(condition, f, g, x) for computations"
_STATIC = "a Python number, given as an argument or closed over, where the program needs a fixed one"

# What the kinds of JAX's errors mean for the person, most special first.
_DECISIONS: tuple[tuple[type[Exception], str, str], ...] = (
    (jax.errors.NonConcreteBooleanIndexError, "x[mask] has a size that depends on values", "jnp.where(mask, x, 0)"),
    (jax.errors.TracerBoolConversionError, "Python decides on the values of an array", _BRANCH),
    (jax.errors.TracerArrayConversionError, "numpy is given an array that is traced", "jax.numpy in place of numpy"),
    (jax.errors.TracerIntegerConversionError, "Python takes an array for a fixed whole number", _STATIC),
    (jax.errors.ConcretizationTypeError, "Python asks for the value of an array", f"arrays throughout, or {_STATIC}"),
)
_NO_ARRAY = re.compile(r"returned a value of type <class '([^']+)'>(?: at output component (\S+?),?(?:\s|$))?")

# Words of errors that models raise when they are called with what a person often forgets, and what to do.
_HINTS: tuple[tuple[str, str], ...] = (
    ("ScopeParamNotFoundError", "give all variables that module.init(key, *inputs) returns: params=variables"),
    ("ScopeCollectionNotFound", "give that collection too: params={'params': ..., 'batch_stats': ...}"),
    ("ScopeParamShapeError", "give inputs of the shape that the variables were made for"),
    ("InvalidRngError", "a Linen model is given one stream, 'dropout'; draw other numbers from a key among the inputs"),
    ("initialized inside an `hk.transform`", "give hk.transform(function), with params=transformed.init(key, *inputs)"),
    ("MissingRNGError", "leave hk.without_apply_rng away, or give the key as an input"),
    ("must be a non-None PRNGKey", "leave hk.without_apply_rng away, or give the key as an input"),
    ("state argument does not appear valid", "give (transformed, params, state), as transformed.init returns them"),
    (
        "invalid PRNG key data",
        "make keys with jax.random.key(seed, impl='threefry2x32'), which both sides can draw from",
    ),
    ("deleted or donated", "call the model on a copy: jnp.array(x)"),
    ("to static attribute", "make every layer in __init__; a call must find the structure that it leaves"),
)
_CALL = "call the model with these inputs in evaluation mode: it must run before it can be converted"


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


def rejected(error: Exception, model: str, source: str = "") -> BadCase:
    """The model's own error when it is called with its inputs, traced or not."""
    said = f"{type(error).__name__}: {error}"
    return BadCase(
        f"{model} rejects its own inputs: {type(error).__name__}: {first_line(error)}",
        code="B110",
        where=own_line(error) or source,
        details=own_source(error),
        next=next((hint for words, hint in _HINTS if words in said), _CALL),
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
    for kind, what, instead in _DECISIONS:
        if isinstance(error, kind):
            return _decides(error, model, what, instead)
    if isinstance(error, IndexError) and "static integers" in str(error):
        return _decides(error, model, "a slice ends where an array says", "jax.lax.dynamic_slice, with a fixed size")
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
    return CaptureError(
        f"{model} cannot be traced: {type(error).__name__}: {first_line(error)}",
        where=own_line(error) or source,
        details=own_source(error),
        next="change the line that is named so that jax.make_jaxpr(model)(*inputs) works",
    )


def _decides(error: Exception, model: str, what: str, instead: str) -> CaptureError:
    return CaptureError(
        f"{model} cannot be traced: {what}",
        code="C156",
        where=own_line(error),
        details=own_source(error),
        why=_VALUES,
        next=f"write {instead}",
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
