"""`regauge audit`: what a code base uses, what a switch to the other framework would take, without running it."""

from __future__ import annotations

from regauge.decide.audit.result import Audit, Counts
from regauge.decide.audit.tree import audit_tree

__all__ = ["Audit", "Counts", "audit_tree"]
