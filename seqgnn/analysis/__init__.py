"""Analysis of a model: its receptive field, its gradients over time, and the edges that its predictions depend on."""

from seqgnn.analysis.bptt import bptt_gradients
from seqgnn.analysis.decay import Decay, decay
from seqgnn.analysis.diagnostics import diagnose
from seqgnn.analysis.explain import EdgeExplanation, EdgeImportance, explain
from seqgnn.analysis.gradient_flow import REDUCTIONS, GradientFlow, gradient_flow
from seqgnn.analysis.influence import edges_to_last, influence
from seqgnn.analysis.oversmoothing import dirichlet_energy, energy_by_depth
from seqgnn.analysis.receptive_field import ReceptiveField, path_receptive_field, receptive_field

__all__ = [
    "REDUCTIONS",
    "Decay",
    "EdgeExplanation",
    "EdgeImportance",
    "GradientFlow",
    "ReceptiveField",
    "bptt_gradients",
    "decay",
    "diagnose",
    "dirichlet_energy",
    "edges_to_last",
    "energy_by_depth",
    "explain",
    "gradient_flow",
    "influence",
    "path_receptive_field",
    "receptive_field",
]
