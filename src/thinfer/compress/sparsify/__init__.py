"""Set single weights of the encoder's matrices to zero: at once, or in the course of training."""

from thinfer.compress.sparsify.gradual import GradualSettings, Lesson, sparsify_gradually
from thinfer.compress.sparsify.one_shot import SparsifySettings, sparsify
from thinfer.compress.sparsify.pattern import Pattern, parse_pattern

__all__ = [
    "GradualSettings",
    "Lesson",
    "Pattern",
    "SparsifySettings",
    "parse_pattern",
    "sparsify",
    "sparsify_gradually",
]
