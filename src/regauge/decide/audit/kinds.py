"""What an expression is, as far as a file alone shows it: a tensor for sure, perhaps, or no tensor."""

from __future__ import annotations

# Ordered: the larger one wins where two meet.
UNKNOWN, PLAIN, MAYBE, TENSOR, MASK = range(5)  # MASK: a boolean tensor


def words(text: str) -> frozenset[str]:
    """Names, written one after the other."""
    return frozenset(text.split())


# Methods and properties of tensors whose result is no tensor.
PLAIN_METHODS = words(
    "size dim ndimension numel nelement stride storage_offset element_size get_device data_ptr is_contiguous "
    "is_floating_point is_complex is_signed is_pinned item tolist numpy __len__ untyped_storage storage"
)
PLAIN_PROPERTIES = words(
    "shape ndim dtype device layout names itemsize nbytes is_cuda is_sparse is_leaf requires_grad grad_fn"
)
MASK_METHODS = words(
    "eq ne gt ge lt le greater less isnan isinf isfinite isin logical_and logical_or logical_not logical_xor bool "
    "any all isclose signbit"
)
TENSOR_PROPERTIES = words("T mT H mH real imag values indices")

# Methods that other things have too: lists, strings, paths, arrays, modules. They count where a tensor is known.
SHARED = words(
    "T abs absolute add all angle any apply_ arccos arcsin arctan argmax argmin argsort astype bool byte char "
    "ceil clip clone conj copy copy_ cos cosh count_nonzero cross cumprod cumsum cov data device diagonal diff "
    "dim div divide dot double dtype eq equal exp expand fill flatten flip float floor format gather ge geqrf "
    "get_device grad greater gt half histogram hash index index_add index_select indices int is_complex is_shared "
    "isin item itemsize layout le less log long lt lu map_ max mean median min mode mul multiply names nbytes "
    "ndim ne neg nelement negative norm not_equal numel numpy outer pow prod put qr real rename repeat reshape "
    "resize retain_grad roll round scatter select set_ shape share_memory_ short sign sin sinh size sort split "
    "sqrt square squeeze std stft storage stride sub subtract sum svd swapaxes t take tan tanh to tolist trace "
    "transpose trunc type unfold unique update values var view where xpu cpu chunk module_load short is_leaf imag "
    "to_dense to_sparse inverse det narrow positive name ravel cuda ipu align_to resolve_conj reduce "
    "requires_grad backward detach"
)
# Of these, the ones that only tensors and modules have.
OWN = words("detach backward cuda")

# Functions of torch whose result is no tensor.
PLAIN_FUNCTIONS = frozenset({"torch.equal", "torch.allclose", "torch.is_tensor", "torch.numel"})
VALUE_FUNCTIONS = frozenset({"torch.equal", "torch.allclose"})
SHAPE_FUNCTIONS = frozenset(
    {"torch.nonzero", "torch.argwhere", "torch.unique", "torch.unique_consecutive", "torch.masked_select"}
)
SHAPE_METHODS = frozenset({"nonzero", "argwhere", "unique", "unique_consecutive", "masked_select"})
VALUE_METHODS = frozenset({"item", "tolist"})
MEMORY_METHODS = frozenset({"set_", "resize_", "as_strided_", "data_ptr", "untyped_storage"})
MASK_FUNCTIONS = frozenset(f"torch.{name}" for name in MASK_METHODS)

# Methods of modules that nothing else has.
MODULE_METHODS = words(
    "parameters named_parameters buffers named_buffers modules named_modules children named_children register_buffer "
    "register_parameter add_module register_module state_dict load_state_dict get_parameter get_submodule"
)
HOOKS = words(
    "register_forward_hook register_forward_pre_hook register_full_backward_hook register_backward_hook "
    "register_full_backward_pre_hook register_load_state_dict_post_hook _register_load_state_dict_pre_hook "
    "register_load_state_dict_pre_hook register_state_dict_pre_hook"
)
# Hooks that act while the model computes; the others act while weights are loaded.
CALL_HOOKS = frozenset(name for name in HOOKS if "forward" in name or "backward" in name)

# A branch on one of these is taken while tracing on purpose.
GUARDS = ("is_tracing", "is_scripting", "is_compiling", "is_exporting", "is_torchdynamo_compiling", "is_in_onnx_export")


def join(left: int, right: int) -> int:
    """What a name is after two branches that leave it different."""
    if left == right:
        return left
    return MAYBE if TENSOR in (left, right) or MASK in (left, right) or MAYBE in (left, right) else UNKNOWN


def is_tensor(kind: int) -> bool:
    return kind >= TENSOR
