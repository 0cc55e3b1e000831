"""How much each head and neuron matters; every method gives the same `Scores`."""

from thinfer.compress.score.activation import score_activation
from thinfer.compress.score.fisher import Fisher, measure_fisher, rearrange_mask, score_fisher
from thinfer.compress.score.magnitude import score_magnitude
from thinfer.compress.score.scores import Scores, mask_from_scores
from thinfer.compress.score.taylor import score_taylor

__all__ = [
    "Fisher",
    "Scores",
    "mask_from_scores",
    "measure_fisher",
    "rearrange_mask",
    "score_activation",
    "score_fisher",
    "score_magnitude",
    "score_taylor",
]
