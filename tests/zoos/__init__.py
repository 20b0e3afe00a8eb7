"""Public model libraries with random weights: every family that can be built here is converted and compared."""
