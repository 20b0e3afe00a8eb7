"""The check: is the converted model the same function as the original?"""

from regauge.verify.engine import check_folder
from regauge.verify.plan import CheckOptions
from regauge.verify.result import Check, Distance, Tier

__all__ = ["Check", "CheckOptions", "Distance", "Tier", "check_folder"]
