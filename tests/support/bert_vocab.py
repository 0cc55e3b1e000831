"""A small WordPiece vocabulary and tokenizers over it."""

from thinfer.text import Tokenizer
from thinfer.text.wordpiece import WordPieceSettings, build_wordpiece

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz0123456789.,!?'#-")
WORDS = (
    "the",
    "cat",
    "cats",
    "##s",
    "##ing",
    "sing",
    "un",
    "##able",
    "able",
    "天",
    "气",
    "好",
    "坏",
)
VOCABULARY = {
    token: index
    for index, token in enumerate(
        dict.fromkeys([*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS[:36]), *WORDS])
    )
}


def small_tokenizer(max_length: int = 32, settings: WordPieceSettings | None = None) -> Tokenizer:
    """A BERT tokenizer that knows letters, digits and a dozen words."""
    backend = build_wordpiece(VOCABULARY, settings)
    return Tokenizer.from_json(backend.to_str(), max_length=max_length)
