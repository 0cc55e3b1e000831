"""Level 3: what turns a packed batch into logits; the registry finds an engine by its name."""

from thinfer.engine.base import Engine, EngineInfo, EngineSpec, check_batch
from thinfer.engine.grouping import plan_groups
from thinfer.engine.registry import available_engines, open_engine, open_engine_folder
from thinfer.engine.selftest import check_golden

__all__ = [
    "Engine",
    "EngineInfo",
    "EngineSpec",
    "available_engines",
    "check_batch",
    "check_golden",
    "open_engine",
    "open_engine_folder",
    "plan_groups",
]
