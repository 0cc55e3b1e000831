"""Tiny random checkpoints that transformers itself writes, one of each family."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

VOCAB = 90
LABELS = ("normal", "advert", "abuse")
_WIDTHS: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 34,
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: index for index, label in enumerate(LABELS)},
}
_ERNIE = {"use_task_id": True, "type_vocab_size": 4, "task_type_vocab_size": 3}
_ROBERTA = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
_KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertConfig", "Bert", {}),
    "ernie": ("ErnieConfig", "Ernie", _ERNIE),
    "roberta": ("RobertaConfig", "Roberta", {**_ROBERTA, "layer_norm_eps": 1e-5}),
    "xlm-roberta": ("XLMRobertaConfig", "XLMRoberta", _ROBERTA),
}
KINDS = tuple(_KINDS)


def make_model(  # the library is untyped
    kind: str, suffix: str = "ForSequenceClassification", **extra: object
) -> Any:  # noqa: ANN401
    """A model with every parameter random, so that none can be mixed up unseen."""
    config_class, prefix, own = _KINDS[kind]
    config = getattr(transformers, config_class)(
        **{**_WIDTHS, **own, "attn_implementation": "eager", **extra}
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = getattr(transformers, prefix + suffix)(config)
        with torch.no_grad():
            for name, value in model.named_parameters():
                is_scale = "LayerNorm.weight" in name
                value.normal_(mean=float(is_scale), std=0.25)
    return model.eval()


def save_model(model: Any, folder: Path, *, as_bin: bool = False) -> None:  # noqa: ANN401
    """Write config, weights and tokenizer as transformers does."""
    model.save_pretrained(folder)
    write_tokenizer(folder, is_roberta=model.config.pad_token_id == 1)
    if as_bin:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")


def write_tokenizer(folder: Path, *, is_roberta: bool = False, size: int = VOCAB - 4) -> None:
    """Write a tokenizer.json of the words w0, w1 …; fewer tokens than the embedding has rows."""
    names = (
        ["<s>", "<pad>", "</s>", "<unk>"] if is_roberta else ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    )
    first, last = (names[0], names[2]) if is_roberta else (names[1], names[2])
    tokens = [*names, *(f"w{index}" for index in range(size - len(names)))]
    backend = Tokenizer(
        models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token=names[3])
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    middle = f"{last} {last}" if is_roberta else last
    second = 0 if is_roberta else 1
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {middle} $B:{second} {last}:{second}",
        special_tokens=[(first, tokens.index(first)), (last, tokens.index(last))],
    )
    backend.add_special_tokens(names)
    (folder / "tokenizer.json").write_text(backend.to_str(), encoding="utf-8")
