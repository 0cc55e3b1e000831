"""Level 2: the artifact on disk; a folder that is valid or refused, never half-read. No torch."""

from thinfer.bundle.golden import GoldenSet, choose_golden, draw_sequences, measure_margins
from thinfer.bundle.layout import LAYOUT
from thinfer.bundle.manifest import EngineEntry, Manifest
from thinfer.bundle.store import Bundle, open_bundle
from thinfer.bundle.weights import encode_weights, weight_shapes
from thinfer.bundle.write import check_place, update_manifest, write_bundle

__all__ = [
    "LAYOUT",
    "Bundle",
    "EngineEntry",
    "GoldenSet",
    "Manifest",
    "check_place",
    "choose_golden",
    "draw_sequences",
    "encode_weights",
    "measure_margins",
    "open_bundle",
    "update_manifest",
    "weight_shapes",
    "write_bundle",
]
