"""The work list: every file after those that it needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regauge.decide.audit import Audit
from regauge.decide.audit.result import Counts, File
from regauge.decide.audit.work import components, work_list

NAMES = [f"{letter}.py" for letter in "abcdefgh"]


def test_the_code_base(audit: Audit) -> None:
    steps = {path: step for step in audit.work for path in step.files}
    assert set(steps) == {"explore.ipynb", "shapes/layers.py", "shapes/net.py", "tests/test_net.py", "train.py"}
    assert steps["shapes/layers.py"].step in steps["shapes/net.py"].needs
    assert steps["shapes/net.py"].step in steps["train.py"].needs  # by way of shapes/__init__.py
    assert steps["explore.ipynb"].needs == ()


@given(
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4)),
    st.sets(st.sampled_from(NAMES)),
)
def test_nothing_comes_before_what_it_needs(needs: dict[str, list[str]], used: set[str]) -> None:
    graph = {name: tuple(set(needs.get(name, ())) - {name}) for name in NAMES}
    files = [File(name, Counts(1, 9, int(name in used), int(name in used)), (), graph[name], "") for name in NAMES]
    work = work_list(files, {})
    assert sorted(path for step in work for path in step.files) == sorted(used)
    step_of = {path: step.step for step in work for path in step.files}
    assert [step.step for step in work] == list(range(1, len(work) + 1))
    for step in work:
        assert all(other < step.step for other in step.needs)
    for name in used:
        for other in reachable(graph, name) & used:
            together = name in reachable(graph, other)
            assert (step_of[name] == step_of[other]) if together else (step_of[other] < step_of[name])


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4)))
def test_components_are_the_circles(needs: dict[str, list[str]]) -> None:
    graph = {name: tuple(needs.get(name, ())) for name in NAMES}
    home = {name: group for group in components(graph) for name in group}
    for one in NAMES:
        for other in NAMES:
            mutual = one == other or (other in reachable(graph, one) and one in reachable(graph, other))
            assert (home[one] == home[other]) == mutual


def reachable(graph: dict[str, tuple[str, ...]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen
