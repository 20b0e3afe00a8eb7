"""JAX's own tests of its primitives, through `regauge.to_torch`."""
