"""What an expression of a machine check may call, and what its outcome is called."""

from __future__ import annotations

import warnings

import pytest

from regauge.run.fact_checks import evaluate, has, raises, versions_of, warns


def fail() -> None:
    raise FileNotFoundError("gone")


def test_raises() -> None:
    assert raises(fail)
    assert raises(fail, "FileNotFoundError")
    assert raises(fail, "ValueError", "OSError")  # a base class counts
    assert not raises(fail, "ValueError")
    assert not raises(lambda: None)
    assert not raises(lambda: None, "ValueError")


def test_warns() -> None:
    assert warns(lambda: warnings.warn("use the other one", DeprecationWarning, stacklevel=1), "the other")
    assert not warns(lambda: warnings.warn("use the other one", stacklevel=1), "something else")
    assert not warns(lambda: None, "")


def test_warns_sees_a_warning_that_was_given_before() -> None:
    def give() -> None:
        warnings.warn("again", UserWarning, stacklevel=1)

    assert [warns(give, "again") for _ in range(2)] == [True, True]


def test_has() -> None:
    assert has("math", "pi")
    assert has("os", "path.join")
    assert not has("os", "path.no_such_name")
    assert not has("xml.no_such_module", "name")
    with pytest.raises(ModuleNotFoundError):
        has("no_such_package_here", "name")


MISSING = "no_such_package_here is not installed in this interpreter"
METADATA = "importlib.metadata.version('no_such_package_here')"


@pytest.mark.parametrize(
    ("imports", "expression", "status", "reason"),
    [
        (["math"], "math.pi > 3", "confirmed", ""),
        (["os.path as p"], "p.join('a', 'b') == 'a/b'", "confirmed", ""),
        (["math"], "[(lambda: math.floor(x))() for x in (1.5, 2.5)] == [1, 2]", "confirmed", ""),
        (["math"], "math.pi > 4", "stale", ""),
        (["math"], "math.inverse", "failed", "AttributeError: module 'math' has no attribute 'inverse'"),
        (["math"], "raises()", "failed", "TypeError: raises() missing 1 required positional argument: 'fn'"),
        (["no_such_package_here"], "True", "not checked", MISSING),
        (["math"], "has('no_such_package_here', 'x')", "not checked", MISSING),
        (["importlib.metadata"], METADATA, "not checked", MISSING),
        (["importlib.util"], "importlib.util.find_spec('no_such_package_here.part')", "not checked", MISSING),
        (["xml.no_such_module"], "True", "failed", "ModuleNotFoundError: No module named 'xml.no_such_module'"),
    ],
)
def test_the_status_of_an_expression(imports: list[str], expression: str, status: str, reason: str) -> None:
    assert evaluate(imports, expression) == (status, reason)


def test_expressions_do_not_see_each_other() -> None:
    assert evaluate(["math"], "(found := math.pi) > 3") == ("confirmed", "")
    assert evaluate(["math"], "found > 3")[0] == "failed"


def test_versions_of_what_is_installed() -> None:
    found = versions_of(["numpy", "no-such-package-here"])
    assert set(found) == {"numpy"}
    assert found["numpy"][0].isdigit()
