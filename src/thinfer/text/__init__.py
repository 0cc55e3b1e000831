"""Level 1: corpora, tokenizers, the packed batch, and vocabulary pruning."""

from thinfer.text.batch import Batch
from thinfer.text.corpus import Corpus, read_corpus
from thinfer.text.encoding import Encoding
from thinfer.text.long_text import LongText
from thinfer.text.tokenizer import Tokenizer
from thinfer.text.vocabulary import (
    VocabularyPlan,
    plan_vocabulary,
    prune_tokenizer,
    unknown_rate,
)

__all__ = [
    "Batch",
    "Corpus",
    "Encoding",
    "LongText",
    "Tokenizer",
    "VocabularyPlan",
    "plan_vocabulary",
    "prune_tokenizer",
    "read_corpus",
    "unknown_rate",
]
