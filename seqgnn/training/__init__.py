"""Training: the loop, its configuration and checkpoints, independent of models and data sets."""

from seqgnn.training.checkpoint import Checkpoints, read_checkpoint, write_checkpoint
from seqgnn.training.config import TrainConfig
from seqgnn.training.loop import FitResult, evaluate, fit

__all__ = ["Checkpoints", "FitResult", "TrainConfig", "evaluate", "fit", "read_checkpoint", "write_checkpoint"]
