"""Entries of `op_db` that cannot be compared, each with the reason; a test holds that regauge refuses or that torch does."""

_VALUES = "the shape of the result depends on values"
_NUMBER = "the result is a Python number that depends on values"
_UNSET = "torch promises no values: the memory is not set"

REASONS: dict[str, str] = {}
