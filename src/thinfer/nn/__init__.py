"""Level 2: our encoder in PyTorch; checkpoints in and out, training, logits."""

from thinfer.nn.checkpoint import Checkpoint, load_checkpoint, resolve_model
from thinfer.nn.encoder import EncoderClassifier, Trace
from thinfer.nn.loss import LossFn, make_class_loss, make_teacher_loss
from thinfer.nn.predict import compute_logits
from thinfer.nn.presets import PRESETS, build_preset
from thinfer.nn.save import save_checkpoint
from thinfer.nn.train import Encoded, TrainReport, TrainSettings, train_classifier

__all__ = [
    "PRESETS",
    "Checkpoint",
    "Encoded",
    "EncoderClassifier",
    "LossFn",
    "Trace",
    "TrainReport",
    "TrainSettings",
    "build_preset",
    "compute_logits",
    "load_checkpoint",
    "make_class_loss",
    "make_teacher_loss",
    "resolve_model",
    "save_checkpoint",
    "train_classifier",
]
