"""Rules from torch's operators (aten) to JAX, one file a family, merged into one table.

Importing this package imports JAX but not torch: operators are named by strings.
"""

from regauge.rules.aten_to_jax import (
    arithmetic,
)
from regauge.rules.table import merge

FAMILIES = (arithmetic,)

TABLE = merge("aten_to_jax", [family.TABLE for family in FAMILIES])
