"""What a model can hear, and where its gradients come from."""

from seqgnn.analysis.bptt import bptt_gradients
from seqgnn.analysis.describe import describe
from seqgnn.analysis.reach import Reach, path_reach, reach

__all__ = ["Reach", "bptt_gradients", "describe", "path_reach", "reach"]
