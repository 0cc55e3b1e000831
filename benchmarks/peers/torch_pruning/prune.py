"""torch-pruning on a Hugging Face classifier, in an environment of its own.

python prune.py MODEL CALIBRATION.npz OUT

Heads and intermediate neurons are pruned at one ratio in every layer, by the library's own grouping
and importance; hidden sizes stay. Writes OUT/IMPORTANCE-RATIO.safetensors under the names of
transformers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch_pruning
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification

RATIOS = [step / 20 for step in range(1, 20)]
IMPORTANCES = {
    "magnitude": torch_pruning.importance.GroupMagnitudeImportance,
    "taylor": torch_pruning.importance.GroupTaylorImportance,
}
_BATCH = 32


def main(source: str, calibration: str, target: str) -> None:
    """Prune at every ratio by every importance."""
    texts = {name: torch.from_numpy(part) for name, part in np.load(calibration).items()}
    labels = texts.pop("labels")
    Path(target).mkdir(parents=True, exist_ok=True)
    for name, importance in IMPORTANCES.items():
        for ratio in RATIOS:
            model = AutoModelForSequenceClassification.from_pretrained(
                source, local_files_only=True, attn_implementation="eager", dtype=torch.float32
            ).eval()
            if name == "taylor":
                _differentiate(model, texts, labels)
            _prune(model, importance(), ratio, {key: part[:2] for key, part in texts.items()})
            # Copies: a pruned parameter may be a view of the whole one.
            weights = {key: value.clone() for key, value in model.state_dict().items()}
            save_file(weights, f"{target}/{name}-{ratio:.2f}.safetensors")


def _differentiate(model: nn.Module, texts: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    for start in range(0, len(labels), _BATCH):
        part = {name: value[start : start + _BATCH] for name, value in texts.items()}
        cross_entropy(model(**part).logits, labels[start : start + _BATCH]).backward()


def _prune(
    model: nn.Module, importance: object, ratio: float, example: dict[str, torch.Tensor]
) -> None:
    attentions = [module for module in model.modules() if hasattr(module, "query")]
    heads = {
        linear: attention.num_attention_heads
        for attention in attentions
        for linear in (attention.query, attention.key, attention.value)
    }
    inner = [
        module.dense for name, module in model.named_modules() if name.endswith("intermediate")
    ]
    free = {*heads, *inner}
    fixed = [
        module
        for module in model.modules()
        if isinstance(module, (nn.Linear, nn.Embedding)) and module not in free
    ]
    pruner = torch_pruning.pruner.BasePruner(
        model,
        example,
        importance=importance,
        pruning_ratio=ratio,  # at 0 the library would leave the heads alone as well
        ignored_layers=fixed,
        num_heads=heads,
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=ratio,
        forward_fn=lambda whole, inputs: whole(**inputs),
        output_transform=lambda output: output.logits.sum(),
    )
    pruner.step()


if __name__ == "__main__":
    main(*sys.argv[1:4])
