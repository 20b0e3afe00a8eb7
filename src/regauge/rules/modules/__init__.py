"""Modules that emitted files carry where Flax NNX has no exactly equal one; their source is copied as it stands."""
