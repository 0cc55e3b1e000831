"""How much each head and neuron matters; every method gives the same `Scores`."""

from thinfer.compress.score.activation import score_activation
from thinfer.compress.score.fisher import score_fisher
from thinfer.compress.score.magnitude import score_magnitude
from thinfer.compress.score.scores import Scores, mask_from_scores

__all__ = ["Scores", "mask_from_scores", "score_activation", "score_fisher", "score_magnitude"]
