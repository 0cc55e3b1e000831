"""Level 4: weights → what an engine reads, and the proof that nothing was lost on the way."""

from thinfer.export.graph import build_graph
from thinfer.export.parity import Parity, compare_logits
from thinfer.export.write import EXPORTERS, write_engine

__all__ = ["EXPORTERS", "Parity", "build_graph", "compare_logits", "write_engine"]
