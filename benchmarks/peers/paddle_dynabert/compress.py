"""PaddleNLP's `Trainer.compress` with DynaBERT; runs in an environment of its own.

    python compress.py FOLDER --widths 3/4,2/3,1/2 --epochs 2

`FOLDER` holds `config.json`, `weights.npz` (names of PaddleNLP's ERNIE) and `train.npz`, `dev.npz`,
`test.npz` with `ids`, `types` (int64, padded) and `labels`. Writes `width-N.npz`, the weights of
each width under the same names, `logits-N.npy`, PaddleNLP's answers to the test rows with them,
and `outcome.json`: versions, then what became of the library as it is published and, where that
ended with an error, of the library with the repairs of `repair.py`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import traceback
import zlib  # noqa: F401 - before Paddle, whose own copy breaks what newer libraries unpack with it
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import paddle

_CUT_COLUMNS = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "linear1.weight")
_CUT_ROWS = (
    *("q_proj.bias", "k_proj.bias", "v_proj.bias", "linear1.bias"),
    *("out_proj.weight", "linear2.weight"),
)
_BATCH = 32
_LIBRARIES = ("paddlepaddle", "paddlenlp", "paddleslim", "numpy")


class Rows(paddle.io.Dataset):
    """Padded rows as dicts, which the trainer's own sampler shuffles."""

    def __init__(self, path: Path) -> None:
        parts = np.load(path)
        self._parts = [parts[name] for name in ("ids", "types", "labels")]

    def __len__(self) -> int:
        return len(self._parts[0])

    def __getitem__(self, row: int) -> dict[str, Any]:
        names = ("input_ids", "token_type_ids", "labels")
        return {name: part[row] for name, part in zip(names, self._parts, strict=True)}


class Collator:
    """Stacks rows without the columns in which all are padding."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, paddle.Tensor]:
        """Give tensors `[batch, length]`, and `labels` `[batch]`."""
        stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        used = np.flatnonzero((stacked["input_ids"] != self._pad_id).any(axis=0))
        longest = int(used[-1]) + 1
        return {
            name: paddle.to_tensor(value[:, :longest] if value.ndim > 1 else value)
            for name, value in stacked.items()
        }


def build_model(facts: dict[str, Any]) -> paddle.nn.Layer:
    """Build PaddleNLP's ERNIE with the teacher's norm constant."""
    from paddlenlp.transformers import ErnieConfig, ErnieForSequenceClassification

    model = ErnieForSequenceClassification(ErnieConfig(**facts["config"]))
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, paddle.nn.LayerNorm):
            layer._epsilon = facts["layer_norm_eps"]
    return model


def fill(model: paddle.nn.Layer, weights: dict[str, np.ndarray]) -> paddle.nn.Layer:
    """Put weights into a model; every one must find its place."""
    own = model.state_dict()
    wrong = set(weights) ^ set(own)
    wrong |= {
        name for name in own if name in weights and weights[name].shape != tuple(own[name].shape)
    }
    if wrong:
        message = f"these weights do not fit PaddleNLP's model: {sorted(wrong)[:8]}"
        raise ValueError(message)
    model.set_state_dict({name: paddle.to_tensor(value) for name, value in weights.items()})
    return model


def compress(folder: Path, facts: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Run `Trainer.compress`: all widths in one training, heads and neurons by importance."""
    from paddlenlp.trainer import CompressionArguments, Trainer

    train = Rows(folder / "train.npz")
    steps = -(-len(train) // _BATCH)
    settings = CompressionArguments(
        output_dir=str(folder / "compressed"),
        strategy="dynabert",
        width_mult_list=arguments.widths.split(","),
        num_train_epochs=arguments.epochs,
        per_device_train_batch_size=_BATCH,
        per_device_eval_batch_size=_BATCH,
        learning_rate=arguments.learning_rate,
        save_steps=steps,  # after each epoch: a width is saved where it is its best on dev so far
        logging_steps=max(1, steps // 10),
        seed=arguments.seed,
        device="cpu",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=fill(build_model(facts), dict(np.load(folder / "weights.npz"))),
        args=settings,
        data_collator=Collator(facts["config"]["pad_token_id"]),
        train_dataset=train,
        eval_dataset=Rows(folder / "dev.npz"),
        criterion=paddle.nn.CrossEntropyLoss(),
    )
    trainer.compress()


def cut_width(saved: Path, width: Fraction) -> dict[str, np.ndarray]:
    """Cut a saved supernet to one width, as the library's own export does.

    The export's own files are not used: it cuts one and the same model for every width, so that
    the second of several widths comes out as the product of both.
    """
    cut = {}
    for raw, tensor in paddle.load(str(saved)).items():
        name, value = raw.replace(".fn.", "."), np.asarray(tensor)
        if name.endswith(_CUT_COLUMNS):
            value = value[:, : int(value.shape[1] * width)]
        elif name.endswith(_CUT_ROWS):
            value = value[: int(len(value) * width)]
        cut[name] = np.ascontiguousarray(value)
    return cut


def answer_test(folder: Path, facts: dict[str, Any], width: Fraction) -> np.ndarray:
    """Give PaddleNLP's own logits of the test rows with the weights of one width."""
    from paddlenlp.trainer.trainer_compress import _get_dynabert_model

    model = _get_dynabert_model(build_model(facts), float(width))
    fill(model, dict(np.load(folder / f"{_name(width)}.npz"))).eval()
    rows, collate = Rows(folder / "test.npz"), Collator(facts["config"]["pad_token_id"])
    found = []
    for start in range(0, len(rows), _BATCH):
        part = collate([rows[row] for row in range(start, min(start + _BATCH, len(rows)))])
        part.pop("labels")
        with paddle.no_grad():
            found.append(model(**part).numpy())
    return np.concatenate(found)


def attempt(folder: Path, facts: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Compress, cut, answer; give the error where one ends it."""
    started, stage = time.monotonic(), "Trainer.compress"
    shutil.rmtree(folder / "compressed", ignore_errors=True)
    found: dict[str, Any] = {"error": None}
    try:
        compress(folder, facts, arguments)
        found["seconds"] = time.monotonic() - started
        for width in map(Fraction, arguments.widths.split(",")):
            stage = f"width {width}"
            saved = folder / "compressed" / f"width_mult_{round(float(width), 2)}"
            weights = cut_width(saved / "model_state.pdparams", width)
            found[f"bytes {width}"] = {
                "weights": sum(value.nbytes for value in weights.values()),
                "exported by the library": (saved / "model.pdiparams").stat().st_size,
            }
            np.savez(folder / f"{_name(width)}.npz", **weights)
            np.save(folder / f"{_name(width)}-logits.npy", answer_test(folder, facts, width))
    except Exception as error:  # whatever the library throws is the result
        found = {"error": f"{type(error).__name__}: {error}", "stage": stage}
        found["traceback"] = traceback.format_exc()
    return found


def _name(width: Fraction) -> str:
    return f"width-{float(width):.4f}"


def main() -> None:
    """Try the library as it is, then repaired; a failure is a result and is written down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--widths", default="3/4,2/3,1/2")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-published-only", action="store_true", help="try without repairs")
    arguments = parser.parse_args()
    paddle.set_device("cpu")
    folder = arguments.folder
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    outcome: dict[str, Any] = {"versions": {name: version(name) for name in _LIBRARIES}}
    outcome["as_published"] = attempt(folder, facts, arguments)
    if outcome["as_published"]["error"] and not arguments.as_published_only:
        # Imported only now: the first attempt sees the library as it is published.
        from repair import REPAIRS, repair

        repair()
        outcome["repairs"], outcome["repaired"] = REPAIRS, attempt(folder, facts, arguments)
    (folder / "outcome.json").write_text(json.dumps(outcome, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
