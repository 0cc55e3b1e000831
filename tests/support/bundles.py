"""Small bundles for tests: random weights, a character tokenizer and the fake engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from thinfer.architecture import Architecture, LayerShape
from thinfer.bundle import (
    LAYOUT,
    Bundle,
    EngineEntry,
    GoldenSet,
    Manifest,
    draw_sequences,
    encode_weights,
    weight_shapes,
    write_bundle,
)
from thinfer.engine.fake import fake_logits
from thinfer.quality.operating import OperatingPoint
from thinfer.text.batch import Batch

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?你好吗广告垃圾信息"
VOCABULARY = (*SPECIALS, *CHARACTERS, *(f"##{character}" for character in CHARACTERS))
PAD, UNK, CLS, SEP = 0, 1, 2, 3


def tokenizer_json(vocabulary: Sequence[str] = VOCABULARY) -> str:
    """A BERT-like tokenizer whose words are single characters."""
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return tokenizer.to_str()


def small_architecture(classes: int = 3, *, length: int = 24) -> Architecture:
    """Two uneven layers; the second one has lost its attention block."""
    return Architecture(
        hidden=8,
        layers=(
            LayerShape(heads=2, qk_size=4, value_size=4, ffn=12),
            LayerShape(heads=0, qk_size=4, value_size=4, ffn=5),
        ),
        vocab=len(VOCABULARY),
        positions=length,
        classes=classes,
    )


def random_weights(architecture: Architecture, *, seed: int = 0) -> dict[str, Any]:
    """Canonical float32 weights; layer norms near one."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.normal(size=shape) * 0.1 + name.endswith("norm.weight")).astype(np.float32)
        for name, shape in weight_shapes(architecture).items()
    }


def fake_golden(architecture: Architecture, *, salt: int = 0, count: int = 6) -> GoldenSet:
    """The golden set of the fake engine."""
    batch = draw_sequences(
        np.random.default_rng(7),
        vocab=architecture.vocab,
        max_length=architecture.max_length,
        first=CLS,
        last=SEP,
        avoid=(PAD, UNK),
        count=count,
    )
    logits = fake_logits(batch, classes=architecture.classes, salt=salt)
    return GoldenSet(batch=batch, logits=logits)


def make_fake_bundle(
    folder: Path,
    *,
    labels: Sequence[str] = ("normal", "spam", "abuse"),
    options: Mapping[str, int | float | str | bool] | None = None,
    seed: int = 0,
    max_length: int = 24,
    normal_label: str | None = None,
    multi_label: bool = False,
    operating: OperatingPoint | None = None,
) -> Bundle:
    """Write a bundle that the fake engine runs.

    `options` are those of `FakeOptions`; another `salt` or `seed` gives another version, and
    `salt` gives other answers. `max_length` is in tokens, `[CLS]` and `[SEP]` included.
    """
    architecture = small_architecture(len(labels), length=max_length)
    settings = dict(options or {})
    salt = int(settings.get("salt", 0))
    manifest = Manifest(
        architecture=architecture,
        labels=tuple(labels),
        normal_label=normal_label,
        problem_type="multi_label_classification" if multi_label else "single_label_classification",
        operating=operating or OperatingPoint(),
        max_length=max_length,
        pad_id=PAD,
        engines=(
            EngineEntry(
                name="fake",
                precision="fp32",
                files=(LAYOUT.weights,),
                options=settings,
                chosen=True,
            ),
        ),
    )
    files: dict[str, bytes | Path] = {
        LAYOUT.tokenizer: tokenizer_json().encode(),
        LAYOUT.weights: encode_weights(random_weights(architecture, seed=seed)),
        LAYOUT.golden: fake_golden(architecture, salt=salt).encode(),
        LAYOUT.report_page: b"<html>report</html>\n",
        LAYOUT.report: b"{}\n",
        LAYOUT.card: b"# card\n",
        "engines/fake/notes.txt": f"salt {salt}\n".encode(),
    }
    return write_bundle(folder, manifest, files=files)


def expected_label(bundle: Bundle, ids: Sequence[int]) -> str:
    """The label that the fake engine gives for token ids."""
    salt = int(bundle.engine("fake").options.get("salt", 0))
    logits = fake_logits(
        Batch.from_sequences([ids]), classes=len(bundle.manifest.labels), salt=salt
    )
    return bundle.manifest.labels[int(logits[0].argmax())]
