"""For tests: hold a port equal for good, and ask again what a check found different. Needs no test framework.

from regauge.testing import assert_same_model

def test_the_port_is_the_model():
    assert_same_model("net.py:case", "port.py:case")
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from regauge.errors import RegaugeError
from regauge.replaying import Replay, replay

if TYPE_CHECKING:
    from regauge.verify.result import Check

__all__ = ["Replay", "assert_same_model", "replay"]


class UnknownChoice(RegaugeError):
    """A value of `not_checked` that is none of the choices."""

    default_code = "U120"


def assert_same_model(
    original: Any,
    converted: Any = None,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    weight_map: Any = None,
    not_checked: Literal["fail", "allow"] = "fail",
    out: str | Path | None = None,
    **options: Any,
) -> Check:
    """Fail unless two models are the same function; `regauge.check` says what "same" means.

    Args:
        original: a model, a function, a `Case`, or the reference of one.
        converted: the same; None for the conversion that regauge makes of a reference.
        args: positional arguments of both models.
        kwargs: keyword arguments in place of `args`.
        weight_map: names of the original to names of the converted model, or the path of a saved map.
        not_checked: whether a verdict of *not checked* fails, too. Single questions that could not be asked, such as
            training without an optimizer, never do: the check that is returned names them in `not_checked`.
        out: where results and a file that reproduces a difference go.
        options: further arguments of `regauge.check`.

    Returns:
        The check.

    Raises:
        AssertionError: they differ, or could not be judged; the text says where, why and what to do.
        RegaugeError: a side cannot be read or run, as of `regauge.check`.
    """
    from regauge.api import check
    from regauge.report.check_text import failure_message

    if not_checked not in ("fail", "allow"):
        raise UnknownChoice("unknown value of not_checked", received=repr(not_checked), next="choose from: fail, allow")
    found = check(original, converted, args, kwargs, weight_map=weight_map, out=out, **options)
    if found.verdict == "different" or (found.verdict == "not checked" and not_checked == "fail"):
        raise AssertionError(failure_message(found))
    return found
