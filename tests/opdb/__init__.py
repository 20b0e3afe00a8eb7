"""PyTorch's own operator tests (`op_db`) through the public path: `regauge.to_jax`, jitted, forward and gradient."""
