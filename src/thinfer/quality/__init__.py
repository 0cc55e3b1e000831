"""Level 1: how good answers are, and whether a floor is proven; numpy only."""

from thinfer.quality.floor import Floor, default_floors, parse_floor, warn_about_floors
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import Metrics, measure_quality
from thinfer.quality.verdict import Verdict, judge, margin_cleared, overall

__all__ = [
    "Floor",
    "LabelSet",
    "Metrics",
    "Verdict",
    "default_floors",
    "judge",
    "margin_cleared",
    "measure_quality",
    "overall",
    "parse_floor",
    "warn_about_floors",
]
