"""The order of the work: files before those that import them; files that import each other together."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from regauge.decide.audit.result import Counts, File, Work


def work_list(files: Sequence[File], hazards: Mapping[str, int]) -> tuple[Work, ...]:
    """Steps for all files with lines of the framework; a file between two of them counts for the order only."""
    needs = {file.path: tuple(path for path in file.needs) for file in files}
    groups = components(needs)
    home = {path: number for number, group in enumerate(groups) for path in group}
    before = [
        sorted({home[n] for path in group for n in needs[path]} - {number}) for number, group in enumerate(groups)
    ]
    by_path = {file.path: file for file in files}
    listed = [any(by_path[path].counts.framework_lines for path in group) for group in groups]
    steps: dict[int, int] = {}
    reached: list[set[int]] = [set() for _ in groups]  # groups on the list that a group needs, nearest ones only
    work: list[Work] = []
    for number in _ordered(groups, before):
        for other in before[number]:
            reached[number] |= {other} if listed[other] else reached[other]
        if not listed[number]:
            continue
        steps[number] = len(work) + 1
        own = [path for path in groups[number] if by_path[path].counts.framework_lines]
        counts = sum((by_path[path].counts for path in own), Counts())
        needed = tuple(sorted(steps[other] for other in reached[number]))
        work.append(Work(len(work) + 1, tuple(own), counts, sum(hazards.get(path, 0) for path in own), needed))
    return tuple(work)


def _ordered(groups: Sequence[Sequence[str]], before: Sequence[Sequence[int]]) -> list[int]:
    """Groups with all that they need before them; by name where the order is free."""
    left = [len(needed) for needed in before]
    after: list[list[int]] = [[] for _ in groups]
    for number, needed in enumerate(before):
        for other in needed:
            after[other].append(number)
    ready = [(groups[number][0], number) for number, count in enumerate(left) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, number = heapq.heappop(ready)
        order.append(number)
        for other in after[number]:
            left[other] -= 1
            if left[other] == 0:
                heapq.heappush(ready, (groups[other][0], other))
    return order


def components(needs: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Strongly connected components (Tarjan 1972), without recursion; members in alphabetical order."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[tuple[str, ...]] = []
    for start in sorted(needs):
        if start in index:
            continue
        walk = [(start, iter(needs[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while walk:
            node, following = walk[-1]
            descended = False
            for other in following:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    walk.append((other, iter(needs[other])))
                    descended = True
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            if descended:
                continue
            walk.pop()
            if walk:
                low[walk[-1][0]] = min(low[walk[-1][0]], low[node])
            if low[node] == index[node]:
                at = stack.index(node)
                members = stack[at:]
                del stack[at:]
                on_stack -= set(members)
                found.append(tuple(sorted(members)))
    return found
