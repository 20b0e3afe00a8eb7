"""Rules from torch's operators (aten) to JAX, one file a family, merged into one table.

Importing this package imports JAX but not torch: operators are named by strings.
"""

from regauge.rules.aten_to_jax import (
    activations,
    arithmetic,
    attention,
    average_pooling,
    comparison,
    convolution,
    copies,
    creation,
    cumulative,
    elementwise,
    indexing,
    joining,
    linalg,
    matmul,
    max_pooling,
    normalization,
    norms,
    reductions,
    scatter,
    shape,
    softmax,
    sorting,
    special_functions,
)
from regauge.rules.table import merge

FAMILIES = (
    activations,
    arithmetic,
    attention,
    average_pooling,
    comparison,
    convolution,
    copies,
    creation,
    cumulative,
    elementwise,
    indexing,
    joining,
    linalg,
    matmul,
    max_pooling,
    normalization,
    norms,
    reductions,
    scatter,
    shape,
    softmax,
    sorting,
    special_functions,
)

TABLE = merge("aten_to_jax", [family.TABLE for family in FAMILIES])
