"""What a model can hear, and where its gradients come from."""

from seqgnn.analysis.bptt import bptt_gradients
from seqgnn.analysis.decay import Decay, decay
from seqgnn.analysis.describe import describe
from seqgnn.analysis.gradients import REDUCTIONS, GradientFlow, gradient_flow
from seqgnn.analysis.influence import edges_to_last, influence
from seqgnn.analysis.reach import Reach, path_reach, reach
from seqgnn.analysis.smoothing import dirichlet_energy, energy_by_depth

__all__ = [
    "REDUCTIONS",
    "Decay",
    "GradientFlow",
    "Reach",
    "bptt_gradients",
    "decay",
    "describe",
    "dirichlet_energy",
    "edges_to_last",
    "energy_by_depth",
    "gradient_flow",
    "influence",
    "path_reach",
    "reach",
]
