"""Training: the loop, its configuration and checkpoints. It knows no model and no data set."""

from seqgnn.training.checkpoint import Checkpoints, read_checkpoint, write_checkpoint
from seqgnn.training.config import TrainConfig
from seqgnn.training.loop import FitResult, evaluate, fit

__all__ = ["Checkpoints", "FitResult", "TrainConfig", "evaluate", "fit", "read_checkpoint", "write_checkpoint"]
