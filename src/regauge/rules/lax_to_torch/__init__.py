"""Rules from JAX's primitives (lax) to torch, one file a family, merged into one table.

Importing this package imports torch but not JAX: primitives are named by strings. Operands of a primitive have the
names of `regauge.capture.jaxpr_operands`; its parameters keep theirs. A known number stands as a Python number where
an array would; both operands of an arithmetic primitive have one dtype in JAX, so nothing is promoted.
"""

from regauge.rules.lax_to_torch import (
    bits,
    conversions,
    convolution,
    cumulative,
    elementwise,
    fourier,
    functions,
    gathering,
    images,
    indexing,
    joining,
    layers,
    library,
    linalg_factors,
    linalg_solve,
    linalg_spectra,
    losses,
    matmul,
    outside,
    pooling,
    random,
    reductions,
    scattering,
    segments,
    shape,
    sorting,
    special,
    windows,
)
from regauge.rules.table import merge

FAMILIES = (
    bits,
    conversions,
    convolution,
    cumulative,
    elementwise,
    fourier,
    functions,
    gathering,
    images,
    indexing,
    joining,
    layers,
    library,
    linalg_factors,
    linalg_solve,
    linalg_spectra,
    losses,
    matmul,
    outside,
    pooling,
    random,
    reductions,
    scattering,
    segments,
    shape,
    sorting,
    special,
    windows,
)

TABLE = merge("lax_to_torch", (family.TABLE for family in FAMILIES))
