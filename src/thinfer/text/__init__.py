"""Level 1: corpora, tokenizers, the packed batch, and vocabulary pruning."""

from thinfer.text.batch import Batch
from thinfer.text.corpus import Corpus, read_corpus
from thinfer.text.tokenizer import Encoding, Tokenizer

__all__ = ["Batch", "Corpus", "Encoding", "Tokenizer", "read_corpus"]
