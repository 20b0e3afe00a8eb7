"""Measuring two implementations of one model side by side: plan, launches, statistics, store."""

from regauge.measure.plan import BadPlan, make_plan, parse_variant, run_key, schedule
from regauge.measure.result import Effect, Measurement, MeasurementPlan, Variant
from regauge.measure.runner import Progress, run_plan
from regauge.measure.self_test import SelfTest, self_test
from regauge.measure.statistics import compute_effects
from regauge.measure.store import Store

__all__ = [
    "BadPlan",
    "Effect",
    "Measurement",
    "MeasurementPlan",
    "Progress",
    "SelfTest",
    "Store",
    "Variant",
    "compute_effects",
    "make_plan",
    "parse_variant",
    "run_key",
    "run_plan",
    "schedule",
    "self_test",
]
