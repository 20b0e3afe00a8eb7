"""Cases: what a reference may name, and what every bad one is answered with."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from regauge.case import Case, load_case
from regauge.cases import BUILT_IN, EXTRAS
from regauge.errors import BadCase

GOOD = """
from regauge.case import Case

class Model:
    def __call__(self, x):
        return x

model = Model()
case = Case(model, inputs=(1,))
def made():
    return Case(model, inputs={"x": 1}, name="made")
number = 3
def broken():
    return 1 / 0
def other():
    return number
"""

DRAWN = """
import random
import numpy as np
from regauge.case import Case

drawn = [random.random(), np.random.rand()]

def case():
    return Case(str, inputs=(*drawn, random.random(), float(np.random.rand())))
"""
DRAWN_BY_TORCH = """
import torch
from regauge.case import Case

layer = torch.nn.Linear(3, 2)

def case():
    return Case(layer, inputs=(torch.rand(2, 3).tolist(), layer.weight.tolist()))
"""


def test_known_inputs_are_names() -> None:
    with pytest.raises(BadCase, match="known is a sequence of names of inputs") as caught:
        Case(lambda x, n: x, inputs=(1, 2), known="n")
    assert caught.value.next == "write known=('n',)"


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = dict(sys.modules)

    def write(text, name="my_cases.py"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    yield write
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def refused(reference):
    with pytest.raises(BadCase) as caught:
        load_case(reference)
    return caught.value


def test_a_case_and_a_function_that_returns_one(write):
    path = write(GOOD)
    assert load_case(f"{path}:case").name == "Model"
    assert load_case(f"{path}:made").inputs == {"x": 1}


def test_a_module_on_the_path(write, tmp_path, monkeypatch):
    write(GOOD, "cases_on_the_path.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_case("cases_on_the_path:made").name == "made"


@pytest.mark.parametrize("reference", ["nothing", ":case", "file.py:", ""])
def test_not_a_reference(reference):
    error = refused(reference)
    assert "file.py:name or package.module:name" in error.what
    assert "digits" in error.next
    assert "minilm" in error.next


def test_no_such_file(tmp_path):
    assert "no such file" in refused(f"{tmp_path}/nowhere.py:case").what


def test_no_such_package():
    error = refused("no_such_package.cases:case")
    assert error.what == "no module named 'no_such_package'"


def test_no_such_name(write):
    error = refused(f"{write(GOOD)}:cas")
    assert "has no name 'cas'" in error.what
    assert "case" in error.next


@pytest.mark.parametrize("text", [DRAWN, DRAWN_BY_TORCH], ids=["python and numpy", "torch"])
def test_what_a_file_draws_is_the_same_in_every_process(write, text):
    load = f"from regauge.case import load_case; print(load_case({write(text) + ':case'!r}).inputs)"
    first, second = (subprocess.run([sys.executable, "-c", load], capture_output=True, text=True) for _ in range(2))
    assert first.stdout == second.stdout
    numbers = re.findall(r"0\.\d+", first.stdout)
    assert len(set(numbers)) == len(numbers) >= 4  # what the function draws is not what the file drew


@pytest.mark.parametrize(("name", "kind"), [("number", "int"), ("model", "Case"), ("other", "int")])
def test_not_a_case(write, name, kind):
    error = refused(f"{write(GOOD)}:{name}")
    if name == "model":  # it may be a function that returns a case, but cannot be called as one
        assert "is called without arguments" in error.what
        assert "regauge.Case(model" in error.next
    else:
        assert "is not a regauge.Case" in error.what
        assert error.received == kind


def test_the_files_own_error_is_shown_with_its_line(write):
    path = write("import math\n\nvalue = math.sqrt(-1)\n")
    error = refused(f"{path}:case")
    assert "raised ValueError" in error.what
    assert error.where == f"{path}:3"
    assert error.details == ("value = math.sqrt(-1)",)
    assert isinstance(error.__cause__, ValueError)


def test_a_syntax_error(write):
    path = write("import sys\n\ndef (\n")
    error = refused(f"{path}:case")
    assert "raised SyntaxError" in error.what
    assert error.where == f"{path}:3"
    assert error.details == ("def (",)
    assert error.next.startswith("mend the line")


def test_a_file_without_a_name(write):
    path = write(GOOD)
    assert "made, broken, other" in refused(str(path)).next
    path = write("def case():\n    return 1\n\ndef sized(width):\n    return width\n")
    assert refused(str(path)).next == f"{path}:case"
    assert refused(f"{path}:").next == f"{path}:case"


def test_a_case_without_inputs(write):
    path = write(GOOD + "def unfinished():\n    return Case(model)\n")
    assert "regauge.Case(model, inputs=(x,))" in refused(f"{path}:unfinished").next


@pytest.mark.parametrize(("name", "module"), [("digits", "sklearn"), ("minilm", "transformers")])
def test_a_built_in_case_without_its_extra(name, module, monkeypatch):
    reference = BUILT_IN[name].reference.partition(":")[0]
    monkeypatch.delitem(sys.modules, reference, raising=False)
    for loaded in [key for key in sys.modules if key.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)  # importing it raises ModuleNotFoundError
    error = refused(name)
    assert EXTRAS[BUILT_IN[name].extra][module] in error.what
    assert error.next == f"pip install 'regauge[{BUILT_IN[name].extra}]'"


def test_the_functions_own_error_is_shown_with_its_line(write):
    path = write(GOOD)
    error = refused(f"{path}:broken")
    assert "raised ZeroDivisionError: division by zero" in error.what
    assert error.details == ("return 1 / 0",)
    assert error.next.startswith("mend the line")


def test_an_error_of_regauge_in_the_function_stays_what_it_is(write):
    path = write(GOOD + "def unfinished():\n    return Case(model, inputs=(1,), optimizer=object())\n")
    error = refused(f"{path}:unfinished")
    assert error.what == "the case has an optimizer but no loss"
    assert error.where.startswith(f"{path}:")
    assert error.details == ("return Case(model, inputs=(1,), optimizer=object())",)
    assert "give loss=" in error.next


def test_a_function_that_needs_arguments(write):
    error = refused(f"{write(GOOD + 'def sized(width):' + chr(10) + '    return case' + chr(10))}:sized")
    assert "is called without arguments" in error.what
    assert "width" in error.received
    assert "regauge.Case(model" in error.next


def test_a_package_that_the_file_imports_and_that_is_missing(write):
    path = write("import no_such_package_of_mine\n" + GOOD)
    error = refused(f"{path}:case")
    assert "No module named 'no_such_package_of_mine'" in error.what
    assert error.where == f"{path}:1"
    assert error.next.startswith("install no_such_package_of_mine in the Python interpreter")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"inputs": [1]}, "inputs must be a tuple of positional or a dict of keyword arguments"),
        ({"inputs": (1,), "loss": 3}, "loss must be a function"),
        ({"inputs": (1,), "optimizer": object()}, "the case has an optimizer but no loss"),
    ],
)
def test_arguments_that_make_no_case(arguments, said):
    with pytest.raises(BadCase, match="B100") as caught:
        Case(len, **arguments)
    assert said in caught.value.what
    assert caught.value.next


def test_trains_needs_loss_and_optimizer():
    assert not Case(len, inputs=(1,), loss=len).trains
    assert Case(len, inputs=(1,), loss=len, optimizer=object()).trains
