"""Everything that a model owns: parameters, buffers and literal tensors, tied ones told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.export.graph_signature import ExportGraphSignature, InputKind
from torch.nn.parameter import is_lazy

from regauge.capture.sizes import dtype_name
from regauge.capture.source_lines import line_of_member
from regauge.errors import BadCase, CaptureError
from regauge.findings import Finding
from regauge.ir.graph import TensorSpec, WeightSpec

_OWNED = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


@dataclass(frozen=True)
class Owned:
    """The tensors of a model.

    Attributes:
        specs: one for every name, in the model's order, constants last; `value` is the placeholder that reads it.
        tensors: by name, without tied repeats.
        readers: name of a placeholder of the exported graph -> the weight that it reads (the first of tied ones).
    """

    specs: tuple[WeightSpec, ...]
    tensors: dict[str, torch.Tensor]
    readers: dict[str, str]


def model_tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor, bool, bool]]:
    """(name, tensor, is a parameter, is in the state dict) of all parameters and buffers, tied repeats included."""
    for prefix, module in model.named_modules(remove_duplicate=False):
        start = f"{prefix}." if prefix else ""
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield start + name, parameter, True, True
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield start + name, buffer, False, name not in module._non_persistent_buffers_set


def collect(model: nn.Module, signature: ExportGraphSignature, constants: Mapping[str, torch.Tensor]) -> Owned:
    """All tensors of a model, with the placeholders that read them.

    Args:
        model: the original.
        signature: of the exported program.
        constants: the exported program's, by target name.
    """
    targets = {spec.arg.name: str(spec.target) for spec in signature.input_specs if spec.kind in _OWNED}
    first: dict[object, str] = {}
    tied: dict[str, str] = {}
    specs: dict[str, WeightSpec] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor, is_parameter, persistent in model_tensors(model):
        kept = first.setdefault(_place(tensor), name)
        if kept != name:
            tied[name] = kept
        else:
            tensors[name] = tensor.detach()
        specs[name] = WeightSpec(
            name=name,
            value="",
            spec=TensorSpec(tuple(tensor.shape), dtype_name(tensor.dtype)),
            role="parameter" if is_parameter else "buffer",
            trainable=is_parameter and tensor.requires_grad,
            persistent=persistent,
            tied_to=tied.get(name),
        )
    renamed = _constant_names(targets.values(), specs)
    for target in dict.fromkeys(targets.values()):
        if target in specs:
            continue
        name, tensor = renamed[target], constants[target]
        if tensor.requires_grad:
            raise CaptureError(
                f"the tensor {name} requires a gradient and is neither a parameter nor an input",
                code="C108",
                why="as a constant of the converted code it would lose its gradient",
                next="make it an nn.Parameter of the model; what a loss needs of the model must be among its outputs",
            )
        tensors[name] = tensor.detach()
        spec = TensorSpec(tuple(tensor.shape), dtype_name(tensor.dtype))
        specs[name] = WeightSpec(name, "", spec, "constant", persistent=False)
    readers: dict[str, str] = {}
    for placeholder, target in targets.items():
        name = renamed.get(target, target)
        name = tied.get(name, name)
        readers[placeholder] = name
    return Owned(tuple(specs.values()), tensors, readers)


def _constant_names(targets: object, taken: Mapping[str, object]) -> dict[str, str]:
    """Names for constants: those of attributes stay, the numbered ones of literals become ``constant_0``."""
    names: dict[str, str] = {}
    used = set(taken)
    for target in dict.fromkeys(targets):  # type: ignore[call-overload]
        if target in taken:
            continue
        wanted = target.replace("lifted_tensor_", "constant_") if target.startswith("lifted_tensor_") else target
        while wanted in used:
            wanted += "_"
        used.add(wanted)
        names[target] = wanted
    return names


def _place(tensor: torch.Tensor) -> object:
    """What is equal for two tensors that are the same numbers in the same memory."""
    if tensor.numel() == 0 or tensor.device.type == "meta":
        return id(tensor)
    return (str(tensor.device), tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)


def with_values(specs: tuple[WeightSpec, ...], values: Mapping[str, str]) -> tuple[WeightSpec, ...]:
    """The specs with the names of the graph values that read them; empty where nothing does."""
    return tuple(replace(spec, value=values.get(spec.name, "")) for spec in specs)


def require_usable(model: nn.Module) -> None:
    """Refuse weights that no comparison can be made with.

    Raises:
        BadCase: NaN or infinity in parameters, or NaN in buffers (masks of -inf are common there); all are named.
        CaptureError: weights without numbers (meta device) or of a kind that arrays do not have.
    """
    for path, module in model.named_modules():
        where = path or "the model"
        if isinstance(module, torch.jit.ScriptModule):
            raise CaptureError(
                f"{where} is TorchScript ({type(module).__name__})",
                code="C136",
                where=line_of_member(model, path),
                why="it has no Python code that capture could follow and no names that the emitted code could keep",
                next="give the nn.Module that was scripted or traced, with the same weights: load_state_dict",
            )
        if ".quantized" in type(module).__module__:
            raise CaptureError(
                f"{where} is quantized ({type(module).__name__})",
                code="C106",
                where=line_of_member(model, path),
                why="its weights are packed integers of one machine's kernels",
                next="convert the float model, and quantize what comes out for the machine that runs it",
            )
    broken: list[str] = []
    for name, tensor, is_parameter, _ in model_tensors(model):
        if is_lazy(tensor):
            raise BadCase(f"the weight {name} has no shape yet", code="B123", next="call the model once: it is lazy")
        if tensor.device.type == "meta":
            raise CaptureError(f"the weight {name} is on the meta device: it has no numbers", next="load the weights")
        require_dense(tensor, f"the weight {name}")
        problem = not_finite(tensor, allow_infinite=not is_parameter)
        if problem:
            broken.append(f"{name}: {problem}")
    if broken:
        raise BadCase(
            f"{len(broken)} weights of the model are not finite",
            code="B120",
            details=broken[:20],
            why="NaN compares equal to nothing, so neither the conversion nor a measurement could be checked",
            next="load weights that are finite, or initialise the model again",
        )


def require_dense(tensor: torch.Tensor, what: str) -> None:
    """Refuse tensors of a kind that arrays do not have.

    Raises:
        CaptureError: it is sparse, quantized or of complex numbers in half precision.
    """
    kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
    if tensor.dtype == torch.complex32:
        kind = "complex32"
    if kind != "strided":
        raise CaptureError(
            f"{what} is {kind}",
            code="C106",
            why="arrays of JAX are dense, and complex from two float32 numbers on",
            next="convert it to a dense float tensor",
        )


def not_finite(tensor: torch.Tensor, *, allow_infinite: bool = False) -> str:
    """``3 NaN, 1 infinite of 100``, or an empty string when the tensor is as it should be."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.numel() == 0:
        return ""
    if bool(torch.isfinite(tensor.detach().sum())) or bool(torch.isfinite(tensor).all()):
        return ""  # a sum is finite only if all its terms are, and it takes no second array
    nans, infinite = int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())
    if nans == 0 and allow_infinite:
        return ""
    return f"{nans} NaN, {infinite} infinite of {tensor.numel()}"


def infinite_outputs(leaves: Mapping[str, torch.Tensor]) -> list[Finding]:
    """Outputs of a model that hold infinities, such as logits of what a mask forbids."""
    found = {name or "the output": text for name, tensor in leaves.items() if (text := not_finite(tensor))}
    if not found:
        return []
    shown = ", ".join(f"{name} ({text})" for name, text in found.items())
    text = f"Outputs hold infinities: {shown}. The converted model must have them at the same places."
    return [Finding("C169", "info", next(iter(found)), text)]
