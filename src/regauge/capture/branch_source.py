"""A person's function with its conditions on values as calls: what `capture.value_branches` runs in place of it.

``if x.max() > 1: x = x / x.max()`` asks Python for a value that a trace does not have. Both ways become functions of
the names that they set, and a call chooses between them:

    def when_true(x): x = x / x.max(); return (x,)
    def when_false(x): return (x,)
    (x,) = way(condition, when_true, when_false, locals())

A way that returns takes what follows the `if` with it, and one that leaves a loop the rest of its step
(`capture.branch_loops`). A condition that only leads to an error becomes a question whose answer a trace may leave out.
Whatever turns out to be a plain value of Python takes its way as before.
"""

from __future__ import annotations

import ast
import copy
import itertools
import linecache
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import CodeType

from regauge.capture.branch_expressions import Expressions, Make, NumbersAsTensors, places
from regauge.capture.branch_loops import breaks, leaves, leaving, set_flag, unless
from regauge.capture.branch_scopes import NotRewritten, WithSuper, code_in, definition_of, in_its_scopes
from regauge.capture.branch_syntax import (
    HELPERS,
    ends_in_error,
    helper,
    holds,
    is_in_loop,
    is_read_in_functions,
    parameters,
    placed,
    read_first,
    same_statement,
    stands_on,
    stored_names,
    tuple_of,
    without_defaults,
)
from regauge.capture.size_calls import SizeCalls

_FEATURES = 0x1FF0000  # flags of `from __future__` imports
_LEAVES = (ast.Break, ast.Continue, ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal, ast.Delete)
_DEEPEST = 8  # ways that return take what follows with them, each a copy: so many in a row


def rewritten(code: CodeType, lines: frozenset[int], sizes: frozenset[int], helpers: str) -> CodeType:
    """The code of a function whose conditions on these lines may be tensors.

    Args:
        code: of a function that is written in a file.
        lines: of its conditions.
        sizes: lines on which it makes numbers of sizes, see `capture.size_calls`.
        helpers: the module with `is_value`, `negated`, `both`, `either`, `number`, `way`, `step`, `returned`,
            `chosen`, `places`, `repeated`, `error_left_out`, `converted`, `each` and `numel`.

    Raises:
        NotRewritten: there is no such condition or call, or what depends on it cannot be a function: it yields or
            deletes names.
    """
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(source)
        function, owner = definition_of(tree, code)
        made = _Rewriting(function, lines, sizes).function()
        module = in_its_scopes(made, owner, code, helpers)
        compiled = compile(module, code.co_filename, "exec", flags=code.co_flags & _FEATURES, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise NotRewritten from error
    found = code_in(compiled, code.co_name, code.co_firstlineno)
    if found is None or found.co_freevars != code.co_freevars:
        raise NotRewritten
    return found


@dataclass
class _Rewriting:
    """One function on its way; `lines` are those of the conditions, `sizes` of the calls that are given sizes."""

    definition: ast.FunctionDef
    lines: frozenset[int]
    sizes: frozenset[int]
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _found: bool = False
    _flags: set[str] = field(default_factory=set)  # of loops that are left
    _live: dict[int, list[str]] = field(default_factory=dict)  # of steps made here, what is read after them

    def function(self) -> ast.FunctionDef:
        made = copy.deepcopy(self.definition)
        without_defaults(made)
        first = next((argument.arg for argument in (*made.args.posonlyargs, *made.args.args)), "")
        WithSuper(first).visit(made)
        calls = SizeCalls(self.sizes)
        made = calls.visit(made)
        self._found = calls.found
        made.body = self._block(made.body, [])
        made = Expressions(self).visit(made)
        if not self._found:
            raise NotRewritten
        return made

    def is_asked(self, test: ast.expr) -> bool:
        """Whether the condition stands on one of the lines."""
        return stands_on(self.lines, test)

    def name(self, stem: str) -> str:
        self._found = True
        return f"{HELPERS}_{stem}_{next(self._numbers)}"

    # statements ---------------------------------------------------------------------------------------------------

    def _block(
        self, statements: Sequence[ast.stmt], following: Sequence[ast.stmt] | None, depth: int = 0
    ) -> list[ast.stmt]:
        """Statements with their conditions rewritten.

        Args:
            statements: one after the other.
            following: what runs after them until the function returns; None inside a loop and the like.
            depth: how many ways that return stand around them.
        """
        made: list[ast.stmt] = []
        for place, statement in enumerate(statements):
            rest = statements[place + 1 :]
            after = None if following is None else [*rest, *following]
            if isinstance(statement, ast.If) and self.is_asked(statement.test):
                if ends_in_error(statement):
                    made += self._error(statement, after, depth)
                elif holds(statement, ast.Return):
                    return [*made, *self._returning(statement, after, depth)]
                else:
                    made += self._joining(statement, after, depth)
            elif isinstance(statement, ast.For | ast.While):
                made += self._loop(statement, depth)
            elif isinstance(statement, ast.Assert) and self.is_asked(statement.test):
                made += self._assertion(statement)
            else:
                made.append(self._inside(statement, after, depth))
        return made

    def _inside(self, statement: ast.stmt, after: Sequence[ast.stmt] | None, depth: int) -> ast.stmt:
        """A statement with the blocks in it rewritten."""
        changed = copy.copy(statement)
        if isinstance(statement, ast.FunctionDef):
            inside: Sequence[ast.stmt] | None = []
        else:
            inside = after if isinstance(statement, ast.If) else None
        if isinstance(statement, ast.ClassDef):
            return statement
        for name in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(statement, name, None), list) and block:
                setattr(changed, name, self._block(block, inside, depth))
        for name in ("handlers", "cases"):
            if parts := getattr(statement, name, None):
                setattr(changed, name, [self._inside(part, None, depth) for part in parts])
        return changed

    def _joining(self, statement: ast.If, after: Sequence[ast.stmt] | None, depth: int) -> list[ast.stmt]:
        """Both ways as functions of the names that they set, and the names set by what they return."""
        _require(not holds(statement, _LEAVES))
        names = stored_names([statement])
        live, kind = self._live.get(id(statement)), "step"
        if live is None:
            kind = "way"
            live = [name for name in names if name in self._flags or self._is_read_outside(name, statement)]
        result = ast.Return(tuple_of(live, ast.Load()))
        ways = [[*self._block(block, None, depth), result] for block in (statement.body, statement.orelse)]
        call, defined = self._call(kind, statement, names, ways)
        call.args.append(ast.Tuple([ast.Constant(name) for name in live], ast.Load()))
        assign: ast.stmt = ast.Assign([tuple_of(live, ast.Store())], call) if live else ast.Expr(call)
        return placed([*defined, assign], statement)

    def _loop(self, statement: ast.For | ast.While, depth: int) -> list[ast.stmt]:
        """A loop that conditions may leave, or over places of a mask; one of Python's own stays as it is."""
        by_mask = statement if isinstance(statement, ast.For) and self.is_asked(statement.iter) else None
        asked = [one for one in leaves(statement.body) if by_mask is not None or self.is_asked(one.test)]
        changed = copy.copy(statement)
        before: list[ast.stmt] = []
        if asked:
            flag = self._flag()
            changed.body = leaving(statement.body, flag, self._truth)
            if breaks(statement.body):
                _require(not statement.orelse)
                self._flags.add(flag)
                before = [set_flag(flag, False, statement)]
                self._go_on_unless(changed, flag, asked[0])
        if isinstance(changed, ast.For) and by_mask is not None:
            changed = self._at_places(changed)
        if isinstance(changed, ast.While) and (before or self.is_asked(changed.test)):
            return [*before, *self._repeating(changed)]
        return [*before, self._inside(changed, None, depth)]

    def _at_places(self, loop: ast.For) -> ast.For:
        """A loop over what may be the places of a mask's Trues: a step for every place, under the mask's element."""
        targets = stored_names([loop.target])
        _require(not any(self._is_read_after(name, loop) for name in targets))
        hit = self.name("hit")
        step = ast.copy_location(ast.If(ast.copy_location(ast.Name(hit, ast.Load()), loop.iter), loop.body, []), loop)
        carried = read_first(loop.body) - set(targets)
        names = stored_names(loop.body)
        self._live[id(step)] = [n for n in names if n in carried | self._flags or self._is_read_after(n, loop)]
        target = ast.Tuple([loop.target, ast.Name(hit, ast.Store())], ast.Store())
        made = ast.For(target, places(loop.iter), [step], loop.orelse)
        return ast.fix_missing_locations(ast.copy_location(made, loop))

    def _truth(self, test: ast.expr) -> ast.expr:
        asked = ast.Call(ast.copy_location(ast.Name("bool", ast.Load()), test), [test], [])
        return self.condition(ast.copy_location(asked, test))

    def _go_on_unless(self, loop: ast.For | ast.While, flag: str, where: ast.If) -> None:
        """Make the steps of a loop depend on its flag, at the place of the first condition that leaves it."""
        goes_on = unless(flag, where.test)
        if isinstance(loop, ast.For):
            _require(not any(self._is_read_after(name, loop) for name in stored_names([loop.target])))
            step = ast.copy_location(ast.If(goes_on, loop.body, []), where)
            loop.body = [step]
        elif isinstance(loop.test, ast.Constant):
            _require(bool(loop.test.value))
            loop.test = goes_on
        else:
            loop.test = ast.copy_location(ast.BoolOp(ast.And(), [goes_on, loop.test]), where.test)

    def _flag(self) -> str:
        """A name that the function does not have."""
        known = {node.id for node in ast.walk(self.definition) if isinstance(node, ast.Name)} | self._flags
        known |= {node.arg for node in ast.walk(self.definition) if isinstance(node, ast.arg)}
        names = itertools.chain(["done"], (f"done_{number}" for number in itertools.count(2)))
        return next(name for name in names if name not in known)

    def _is_read_after(self, name: str, loop: ast.For) -> bool:
        """Whether a name is read outside of a loop, or after it where that can be told."""
        written = same_statement(self.definition, loop)
        if written in self.definition.body and not is_read_in_functions(name, self.definition):
            return name in read_first(self.definition.body[self.definition.body.index(written) + 1 :])
        inside = {id(node) for node in ast.walk(written)}
        return any(
            isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) and id(node) not in inside
            for node in ast.walk(self.definition)
        )

    def _repeating(self, statement: ast.While) -> list[ast.stmt]:
        """The condition and the steps of a loop as functions of the names that the steps set."""
        _require(not statement.orelse and not holds(statement, (*_LEAVES, ast.Return)))
        carried = read_first([ast.Expr(statement.test), *statement.body])
        names = [
            name for name in stored_names([statement]) if name in carried or self._is_read_outside(name, statement)
        ]
        result = ast.Return(tuple_of(names, ast.Load()))
        blocks: list[list[ast.stmt]] = [
            [ast.Return(self._asked(statement.test))],
            [*self._block(statement.body, None), result],
        ]
        functions = [self._way("condition"), self._way("step")]
        defined: list[ast.stmt] = [
            ast.FunctionDef(name, parameters(names), block, []) for name, block in zip(functions, blocks, strict=True)
        ]
        scope = ast.Call(ast.Name("locals", ast.Load()), [], [])
        call = helper("repeated", *(ast.Name(name, ast.Load()) for name in functions), scope)
        return placed([*defined, ast.Assign([tuple_of(names, ast.Store())], call)], statement)

    def _returning(self, statement: ast.If, after: Sequence[ast.stmt] | None, depth: int) -> list[ast.stmt]:
        """Both ways with what follows them, which all return."""
        if after is None:
            raise NotRewritten
        _require(depth < _DEEPEST and not holds(statement, _LEAVES))
        ways = []
        for block in (statement.body, statement.orelse):
            taken = (
                list(block) if block and isinstance(block[-1], ast.Return) else [*block, *copy.deepcopy(list(after))]
            )
            ways.append(self._block(taken, [], depth + 1) or [ast.Pass()])
        call, defined = self._call("returned", statement, stored_names([statement, *after]), ways)
        return placed([*defined, ast.Return(call)], statement)

    def _call(
        self, kind: str, statement: ast.If, names: Sequence[str], ways: Sequence[list[ast.stmt]]
    ) -> tuple[ast.Call, list[ast.stmt]]:
        """The call that chooses between two ways, and what must stand before it."""
        condition = ast.Assign([ast.Name(test := self.name("test"), ast.Store())], self._asked(statement.test))
        functions: list[ast.stmt] = [
            ast.FunctionDef(self._way(which), parameters(names), block, [])
            for which, block in zip(("when_true", "when_false"), ways, strict=True)
        ]
        chosen = [ast.Name(name, ast.Load()) for name in (test, self._way("when_true"), self._way("when_false"))]
        scope = ast.Call(ast.Name("locals", ast.Load()), [], [])
        return helper(kind, *chosen, scope), [condition, *functions]

    def _way(self, name: str) -> str:
        """The name of a function, which emitted code may bear: `when_true`, unless the person has one of that name."""
        taken = any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(self.definition))
        return f"{HELPERS}_{name}" if taken else name

    def _error(self, statement: ast.If, after: Sequence[ast.stmt] | None, depth: int) -> list[ast.stmt]:
        """A condition that ends in an error one way: a value goes the other."""
        test = self.name("test")
        condition = ast.Assign([ast.Name(test, ast.Store())], self.condition(statement.test))
        raises_first = isinstance(statement.body[-1], ast.Raise)
        other = copy.deepcopy(statement.orelse if raises_first else statement.body)
        plain = ast.If(
            ast.Name(test, ast.Load()),
            self._block(statement.body, after, depth),
            self._block(statement.orelse, after, depth),
        )
        left_out = helper("error_left_out", ast.Name(test, ast.Load()))
        return placed(
            [condition, ast.If(left_out, self._block(other, after, depth) or [ast.Pass()], [plain])], statement
        )

    def _assertion(self, statement: ast.Assert) -> list[ast.stmt]:
        test = self.name("test")
        condition = ast.Assign([ast.Name(test, ast.Store())], self.condition(statement.test))
        held = ast.Assert(ast.Name(test, ast.Load()), statement.msg)
        left_out = helper("error_left_out", ast.Name(test, ast.Load()))
        return placed([condition, ast.If(ast.UnaryOp(ast.Not(), left_out), [held], [])], statement)

    def _is_read_outside(self, name: str, statement: ast.If | ast.While) -> bool:
        """Whether a name is read where the statement's own reads do not count; in a loop they count as well."""
        inside = (
            set()
            if is_in_loop(self.definition, statement)
            else {id(node) for node in ast.walk(same_statement(self.definition, statement))}
        )
        return any(
            isinstance(node, ast.Name)
            and node.id == name
            and not isinstance(node.ctx, ast.Store)
            and id(node) not in inside
            for node in ast.walk(self.definition)
        )

    # conditions ---------------------------------------------------------------------------------------------------

    def condition(self, test: ast.expr) -> ast.expr:
        """A condition in which `not`, `and`, `or` and conversions to numbers take tensors too."""
        match test:
            case ast.UnaryOp(ast.Not(), operand):
                return self.or_plain(
                    operand, lambda held: helper("negated", held), lambda held: ast.UnaryOp(ast.Not(), held)
                )
            case ast.BoolOp(operator, [first, *others]):
                other = others[0] if len(others) == 1 else ast.copy_location(ast.BoolOp(operator, others), others[0])
                name = "both" if isinstance(operator, ast.And) else "either"
                return self.or_plain(
                    first,
                    lambda held: helper(name, held, self._asked(copy.deepcopy(other))),
                    lambda held: ast.BoolOp(operator, [held, self.condition(other)]),
                )
            case ast.Compare(left, [_, _, *_] as operators, others):
                pairs: list[ast.expr] = []
                for comparison, right in zip(operators, others, strict=True):
                    name = self.name("side")
                    pairs.append(ast.Compare(left, [comparison], [ast.NamedExpr(ast.Name(name, ast.Store()), right)]))
                    left = ast.Name(name, ast.Load())
                located = [ast.copy_location(pair, test) for pair in pairs]
                return self.condition(ast.copy_location(ast.BoolOp(ast.And(), located), test))
            case _:
                return NumbersAsTensors(self).visit(test)

    def _asked(self, test: ast.expr) -> ast.expr:
        """A condition that is a tensor or a bool: what is no tensor decides here, in the person's own line."""
        return self.or_plain(test, lambda held: held, lambda held: ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), held)))

    def or_plain(self, operand: ast.expr, for_value: Make, otherwise: Make) -> ast.expr:
        """One expression of what an operand gives where that is a tensor, another where it is not."""
        name = self.name("value")
        held = ast.NamedExpr(ast.Name(name, ast.Store()), helper("counted", self.condition(operand)))

        def read() -> ast.expr:
            return ast.Name(name, ast.Load())

        made = ast.IfExp(helper("is_value", held), for_value(read()), otherwise(read()))
        return ast.copy_location(made, operand)


def _require(holds: bool) -> None:
    if not holds:
        raise NotRewritten
