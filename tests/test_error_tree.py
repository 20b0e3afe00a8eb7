"""Errors: one printed form, and the same error after a process boundary."""

from __future__ import annotations

import json

import pytest

from regauge import errors
from regauge.errors import RegaugeError, UnsupportedOps, WorkerFailed

CLASSES = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, RegaugeError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_same_error_after_json(cls):
    error = cls("it broke", where="a.py:3", received="x", why="y", next="z", details=["one", "two"])
    found = RegaugeError.from_json(json.loads(json.dumps(error.to_json())))
    assert type(found) is cls
    assert found.lines() == error.lines()
    assert found.to_json() == error.to_json()


def test_codes_are_distinct_and_classes_have_a_page():
    codes = [cls.default_code for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(cls.__doc__ and cls.exit_code in (1, 2) for cls in CLASSES)


def test_the_printed_form():
    error = UnsupportedOps("2 operators have no rule", details=["aten.a.default  2x"], next="regauge ops")
    assert str(error) == "R201 2 operators have no rule\n  aten.a.default  2x\n  next: regauge ops"


def test_a_class_of_another_version_is_still_an_error():
    data = {**WorkerFailed("it broke").to_json(), "error": "NoSuchError"}
    assert type(RegaugeError.from_json(data)) is RegaugeError


def test_a_code_of_its_own():
    assert RegaugeError.from_json(WorkerFailed("slow", code="P120").to_json()).code == "P120"
