"""Entries of `op_db` that are not compared, each with the reason that holds for it."""

_SPARSE = "sparse tensors: arrays of JAX are dense"
_MEMORY = "changes the size of its argument's memory, which an array of JAX cannot"

REASONS: dict[str, str] = {
    "sparse_mm_reduce": _SPARSE,
    "sparse_sampled_addmm": _SPARSE,
    "to_sparse": _SPARSE,
    "chalf": "complex numbers of two float16, which JAX has not",
    "hash_tensor": "a hash of the bits, in uint64",
    "resize_": _MEMORY,
    "resize_as_": _MEMORY,
    "as_strided_partial_views": "strides that look behind a view into its memory",
    "bincount": "the number of counts depends on the values of tensors; with a minlength above them it is that (C194)",
    "argwhere": "the size of the result depends on the values of tensors",
    "nonzero": "the size of the result depends on the values of tensors; of one without elements it is 0",
    "item": "a Python number that is the value of a tensor",
    "broadcast_shapes": "takes and gives no tensor",
}

# What is known of entries that are not right.
REMARKS: dict[str, str] = {
    "as_strided_scatter": "the gradient of PyTorch 2.13 goes to the elements of `self` that are written over",
}


def reason_of(name: str, kinds: set[str]) -> str:
    """Why an entry is not compared, or an empty string.

    Args:
        name: of the entry.
        kinds: what became of its samples.
    """
    if name in REASONS:
        return REASONS[name]
    if kinds == {"not comparable"}:
        return "torch has no samples for the CPU, or raises for all of them"
    if kinds <= {"by value", "not comparable"}:
        return "a size or a Python number that depends on the values of tensors"
    return ""
