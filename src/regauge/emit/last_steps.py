"""The last step of a loop, of which nothing reads what only a step after it would have read.

    score = self.out(h)                          for _ in range(2):
    token = jnp.argmax(score, axis=-1)               score = self.out(h)
    h = self.emb(token)                              token = jnp.argmax(score, axis=-1)
    score_2 = self.out(h)                            h = self.emb(token)

It becomes whole again: XLA leaves out what nobody reads, as the capture did.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Hashable, Sequence

from regauge.emit.value_ids import assigned

Added = tuple[ast.stmt, ast.stmt]  # a statement, and the one of the step before that it repeats


def completed(
    step: Sequence[ast.stmt], keys: Sequence[Hashable], rest: Sequence[ast.stmt], rest_keys: Sequence[Hashable]
) -> list[ast.stmt | Added] | None:
    """The statements of a last step, those that it lacks added.

    Args:
        step: the statements of the step before, which is whole.
        keys: what each has in common with those of other steps.
        rest: the statements behind it.
        rest_keys: theirs.

    Returns:
        None where the statements behind are not part of a step, or what they lack does more than compute.
    """
    renamed: dict[str, str] = {}
    made = {name for statement in step for name in assigned(statement)}
    whole: list[ast.stmt | Added] = []
    place = 0
    for statement, key in zip(step, keys, strict=True):
        if place < len(rest) and rest_keys[place] == key:
            renamed |= dict(zip(assigned(statement), assigned(rest[place]), strict=False))
            whole.append(rest[place])
            place += 1
            continue
        copied = _copied(statement, renamed, made) if _computes(statement) else None
        if copied is None:
            return None
        whole.append((copied, statement))
    return whole if 0 < place < len(step) else None


def _computes(statement: ast.stmt) -> bool:
    """Whether a statement calls no module, so that it neither draws a number nor changes a state."""
    calls = [ast.unparse(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return isinstance(statement, ast.Assign) and all("[...]" in f or not f.startswith("self.") for f in calls)


def _copied(statement: ast.stmt, renamed: dict[str, str], made: set[str]) -> ast.stmt | None:
    """The statement with the names of the last step; None where it reads what that step does not have."""
    copied = copy.deepcopy(statement)
    names = [node for node in ast.walk(copied) if isinstance(node, ast.Name)]
    for name in names:
        if not isinstance(name.ctx, ast.Store):
            if name.id in made and name.id not in renamed:
                return None
            name.id = renamed.get(name.id, name.id)
    for name in names:
        if isinstance(name.ctx, ast.Store):
            renamed[name.id] = name.id = f"{name.id}_of_no_step"
    return copied
