"""Functions of the step, read as formulas; tests/emit/test_train_trajectories.py trains with some."""

from __future__ import annotations

import math

import pytest

from regauge import formulas
from regauge.capture.lr_lambda_text import NotReadable
from regauge.capture.lr_lambdas import formula_of
from regauge.formulas import PYTHON


def warm_up(step):
    """Statements: a way that returns, names that are set, a loop, a function that is called."""
    if step < 4:
        return step / 4
    factor, last = 1.0, 0.5
    for milestone in (8, 16):
        if step >= milestone:
            factor *= last
        else:
            last = 0.25
    return factor * half_cosine(step, 40)


def half_cosine(step: int, total: int) -> float:
    share = min(step, total) / total
    return 0.5 * (1 + math.cos(math.pi * share))


class Rates:
    warmup = 5

    def rate(self, step):
        return 1.0 if self.warmup <= step < 20 and not (step == 7 or step == 9) else (7 - step) % 3 + 1


FUNCTIONS = {
    "statements": warm_up,
    "method": Rates().rate,
    "lambda": lambda step: max(0.0, 1 - step / 50) ** 0.9,
    "second of its line": (lambda step: 1.0, lambda step: 1 / (1 + 0.1 * step))[1],
    "constant": lambda _: 1,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_formula_gives_the_numbers_of_the_function(name):
    function = FUNCTIONS[name]
    formula = formula_of(function)
    for step in range(60):
        assert formulas.value(formula, step, 1.0, PYTHON) == pytest.approx(function(step), rel=1e-15)


def test_what_is_known_is_computed():
    scale = 2.0
    assert formula_of(lambda step: scale * 3 * step * 1.0 + 0) == ("*", 6.0, "step")


def test_a_loop_of_drops_stays_short():
    def drops(step):
        factor = 1.0
        for milestone in range(10, 200, 10):
            if step >= milestone:
                factor *= 0.9
        return factor

    assert sum(1 for _ in formulas.parts(formula_of(drops))) < 200


COUNT = [0]


def counting(step):
    COUNT[0] += 1
    return COUNT[0] * 1.0


def while_loop(step):
    while step > 3:
        step -= 3
    return step


def sometimes(step):
    if step > 3:
        return 1.0
    return None


def fails(step):
    return 1 / step


class Unhashable:
    __hash__ = None

    def __call__(self, step):
        return 1.0


def never(step, warm_up=0):
    return 1 / warm_up if step < 0 else 1.0


UNHASHABLE = Unhashable()
REFUSED = {
    "numbers joined": (lambda step: (step and 0.5) or 1.0, "it joins numbers by `and`"),
    "a way that no step takes": (never, "its text cannot be followed: ZeroDivisionError"),
    "unhashable": (lambda step: UNHASHABLE(step), "its text cannot be followed: TypeError"),
    "state": (counting, "it has a statement"),
    "while": (while_loop, "it has a statement"),
    "without a value": (sometimes, "it computes with NoneType"),
    "lookup": (lambda step: [1, 2, 3][step % 3], "it looks something up by the step"),
    "text": (lambda step: float(str(step)), "it calls"),
    "built-in": (math.sqrt, "it calls sqrt"),
    "division": (fails, "at step 0 it raises ZeroDivisionError"),
    "no file": (eval("lambda step: step"), "its text is in no file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_formula_is_refused(name):
    function, said = REFUSED[name]
    with pytest.raises(NotReadable, match=said):
        formula_of(function)


def test_a_formula_as_text():
    functions = {"where": "jnp.where", "cos": "jnp.cos"}
    formula = ("where", ("<", "step", 4), ("*", ("+", "step", 1), 0.5), ("cos", ("-", "base", ("neg", "step"))))
    expected = "jnp.where(step < 4, (step + 1) * 0.5, jnp.cos(base - -step))"
    assert formulas.text(formula, repr, functions) == expected
    assert formulas.reads_base(formula)
