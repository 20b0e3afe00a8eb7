"""Case: a model with everything that regauge needs to convert, check, train and measure it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from regauge.cases import case_files
from regauge.errors import BadCase, RegaugeError
from regauge.seeding import seed

# How equal layers in a row are converted: as a scan over stacked weights, one by one, or as their number suggests.
LAYERS = ("auto", "scan", "unroll")


@dataclass
class Case:
    """A model, its inputs, and how it is trained.

    Attributes:
        model: torch.nn.Module, flax nnx.Module or Linen (module, variables), equinox.Module,
            keras.Model on its JAX backend, or a function.
        inputs: tuple of positional arguments, or dict of keyword arguments, of the model: arrays of the model's
            framework in any pytree.
        targets: what the loss needs besides the outputs, any pytree.
        loss: ``loss(outputs, targets) -> scalar`` in the model's framework.
        optimizer: a torch.optim.Optimizer, a pair of it and its lr_scheduler, which then advances after every step,
            or a spec such as ``regauge.optimizers.AdamW(lr=1e-3)``.
        name: what reports call the case; the class name of the model when None.
        rules: a file with JAX rules for operators of your own (`regauge.rule`), relative to the case's file.
        layers: how equal layers in a row are converted, one of `LAYERS`; "auto" when None. Of a JAX model "scan"
            leaves a scan over stacked weights what it is.
        known: names of inputs of a torch model, tensors of integers or booleans, whose values become part of the
            converted code: rows and columns of images, lengths, whatever Python makes sizes of.
    """

    model: Any
    inputs: Any
    targets: Any = None
    loss: Any = None
    optimizer: Any = None
    name: str | None = None
    rules: str | Path | None = None
    layers: str | None = None
    known: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, tuple | dict):
            raise BadCase(
                "inputs must be a tuple of positional or a dict of keyword arguments of the model",
                received=type(self.inputs).__name__,
                next="write inputs=(x,) for one positional argument",
            )
        if self.loss is not None and not callable(self.loss):
            raise BadCase(
                "loss must be a function of (outputs, targets)",
                received=repr(self.loss),
                next="write loss=, such as torch.nn.functional.cross_entropy or a function of your own",
            )
        if self.optimizer is not None and self.loss is None:
            raise BadCase("the case has an optimizer but no loss", next="give loss=, a function of (outputs, targets)")
        if self.layers is not None:
            refuse_unknown_layers(self.layers)
        if isinstance(self.known, str):
            raise BadCase(
                "known is a sequence of names of inputs",
                code="C190",
                received=repr(self.known),
                next=f"write known=({self.known!r},)",
            )
        if self.name is None:
            self.name = _name_of(self.model)

    @property
    def trains(self) -> bool:
        """Whether the case says how to take a training step."""
        return self.loss is not None and self.optimizer is not None


def refuse_unknown_layers(layers: Any) -> None:
    """Raise BadCase unless it is a way to convert layers that `LAYERS` names."""
    if layers not in LAYERS:
        raise BadCase(
            "there is no such way to convert equal layers",
            code="B160",
            received=f"layers={layers!r}",
            next=f"choose from: {', '.join(LAYERS)}",
        )


def _name_of(model: Any) -> str:
    """The class of a model, the name of a function, and of ``(module, variables)`` that of the module."""
    if isinstance(model, tuple) and model and not hasattr(model, "_fields"):
        return _name_of(model[0])
    is_function = callable(model) and not isinstance(model, type) and hasattr(model, "__name__")
    return model.__name__ if is_function else type(model).__name__


def load_case(reference: str) -> Case:
    """The case that ``file.py:name``, ``package.module:name`` or the name of a built-in case refers to.

    Imports the person's file, and with it their framework: call it in a worker, never in the parent. What the file
    draws at random without a seed of its own is the same in every process.

    Raises:
        BadCase: no such file, module, name or case; or the file raises (its own error is shown with its line).
    """
    from regauge.cases import BUILT_IN, EXTRAS

    built_in = BUILT_IN.get(reference)
    if built_in is None:
        return _load(reference)
    try:
        return _load(built_in.reference)
    except BadCase as error:
        missing = (getattr(error.__cause__, "name", None) or "").partition(".")[0]
        package = EXTRAS[built_in.extra].get(missing)
        if package is None:
            raise
        raise BadCase(
            f"the built-in case {reference} needs {package}, which is not installed",
            received=sys.executable,
            next=built_in.install,
        ) from error


def _load(reference: str) -> Case:
    target, separator, name = reference.rpartition(":")
    if not separator or not target or not name:
        raise BadCase(
            "a case is written file.py:name or package.module:name", received=reference, next=_named(reference)
        )
    seed(0, case_files(reference))
    module = _import(target)
    if not hasattr(module, name):
        names = [key for key in vars(module) if not key.startswith("_")]
        raise BadCase(
            f"{target} has no name {name!r}", received=reference, next=f"it defines: {', '.join(names[-12:])}"
        )
    found = getattr(module, name)
    if not isinstance(found, Case) and callable(found) and not _is_model(found):
        seed(1)  # the module may have been imported before, and drawn nothing now
        found = _call(found, reference)
    if not isinstance(found, Case):
        raise BadCase(
            f"{reference} is not a regauge.Case, nor a function that returns one",
            received=type(found).__name__,
            next=f"write {name} = regauge.Case(model, inputs=(x,))",
        )
    if found.rules is not None and target.endswith(".py"):
        found.rules = Path(target).resolve().parent / found.rules
    return found


def _named(reference: str) -> str:
    """What to write for a reference without a name: what its file defines, else the built-in cases."""
    from regauge.cases import BUILT_IN

    functions = _functions(Path(reference.rstrip(":"))) if reference.rstrip(":").endswith(".py") else []
    if "case" in functions:
        return f"{reference.rstrip(':')}:case"
    if functions:
        return f"write {reference.rstrip(':')}:NAME; functions of the file: {', '.join(functions[-12:])}"
    return f"built-in cases: {', '.join(BUILT_IN)}"


def _functions(path: Path) -> list[str]:
    """The functions that a file defines and that may be called without arguments, read without running it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and len(node.args.posonlyargs) + len(node.args.args) == len(node.args.defaults)
        and None not in node.args.kw_defaults
        and not node.name.startswith("_")
    ]


def _is_model(found: Any) -> bool:
    return isinstance(found, type) or hasattr(found, "parameters") or hasattr(found, "forward")


def _call(function: Any, reference: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise BadCase(
            f"{reference} is called without arguments, and it needs some",
            received=str(error),
            next="name a function without arguments that returns regauge.Case(model, inputs=(x,))",
        ) from error
    except ValueError:  # a builtin without a signature: its own error says what it needs
        pass
    try:
        return function()
    except Exception as error:
        raise _own_error(error, f"{reference} raised {type(error).__name__}: {error}") from error


def _import(target: str) -> ModuleType:
    if not target.endswith(".py"):
        try:
            return importlib.import_module(target)
        except ModuleNotFoundError as error:
            raise BadCase(
                f"no module named {error.name!r}",
                received=target,
                next="give a path that ends in .py, or install the package in this interpreter",
            ) from error
        except Exception as error:
            raise _own_error(error, f"importing {target} raised {type(error).__name__}: {error}") from error
    path = Path(target).resolve()
    if not path.is_file():
        raise BadCase(f"no such file: {target}", received=target, next="check the path")
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadCase(f"{target} is not a Python file", received=target, next="give a path that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _own_error(error, f"running {target} raised {type(error).__name__}: {error}") from error
    return module


def _own_error(error: BaseException, what: str) -> RegaugeError:
    """The error with the last line of the person's own code in the traceback; one of regauge's own stays what it is."""
    import traceback

    package = str(Path(__file__).resolve().parent) + os.sep
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(("<", package))]
    own = [f for f in frames if "site-packages" not in f.filename] or frames
    where, line = (f"{own[-1].filename}:{own[-1].lineno}", own[-1].line or "") if own else ("", "")
    if isinstance(error, RegaugeError):
        return type(error)(
            error.what,
            code=error.code,
            where=error.where or where,
            received=error.received,
            why=error.why,
            next=error.next,
            details=error.details or ([line] if line else ()),
        )
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
        where, line = f"{error.filename}:{error.lineno}", (error.text or "").strip()  # no frame of it ever ran
    return BadCase(what, where=where, details=[line] if line else (), next=_mend(error))


def _mend(error: BaseException) -> str:
    """What to do about an error of the person's own code."""
    from regauge.cases import package_of

    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install {package_of(error.name)} in the Python interpreter of this side"
    if isinstance(error, TypeError) and str(error).startswith(f"{Case.__name__}.__init__()"):
        return "write regauge.Case(model, inputs=(x,)), with targets=, loss= and optimizer= if it trains"
    return "mend the line that is named, then run the same command again"
