"""Level 1: corpora, tokenizers, the packed batch, and vocabulary pruning."""

from thinfer.text.batch import Batch
from thinfer.text.corpus import Corpus, read_corpus

__all__ = ["Batch", "Corpus", "read_corpus"]
