"""Over-smoothing of trained GCNs: Dirichlet energy by depth."""

import math
from dataclasses import dataclass, field

import torch

from seqgnn._utils.text import count
from seqgnn._utils.threads import one_thread
from seqgnn.analysis import energy_by_depth
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.models.sequence_model import GNNS
from seqgnn.report.html.model_inspection import BATCH, ModelInspection, trained_model

FACTOR = 2.0  # smallest change of the energy, up or down, that counts as a rise or fall


@dataclass(frozen=True)
class Smoothing:
    """Energies of the models inspected, relative to the squared norm of the node features.

    Attributes:
        energies: by label, before the first layer and after each layer.
        missing: by label, why it is missing.
    """

    energies: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def smoothing(comparison: Comparison, inspection: ModelInspection) -> Smoothing:
    """Measure the trained models with one GCN of at least two layers, at the size and with the seed of `inspection`."""
    result = Smoothing()
    if inspection.size is None or inspection.seed is None:
        return result
    if comparison.data_id is not None and not inspection.samples:
        return result
    for label in comparison.labels:
        run = comparison.runs.get((label, inspection.size, inspection.seed))
        config = None if run is None else run.config
        if not isinstance(config, RunConfig) or config.model not in GNNS or config.num_layers < 2:
            continue
        try:
            model, task = trained_model(comparison, label, inspection.size, inspection.seed)
        except (ValueError, RuntimeError) as error:
            result.missing[label] = " ".join(str(error).split())
            continue
        batch = task.draw(BATCH, torch.Generator().manual_seed(inspection.seed))
        with one_thread():
            result.energies[label] = energy_by_depth(model, batch, relative=True).tolist()
    return result


def verdict(energies: list[float]) -> str:
    """Return the change of energies from before the first layer to after the last in words.

    Example:
        >>> verdict([0.8, 0.4, 0.1])
        'falls from 0.800 to 0.100 over 2 layers: neighbors become more alike'
        >>> verdict([0.8, float("nan")])
        'the ReLU outputs are all zero after layer 1, so all nodes are alike'
    """
    zero_depth = next((depth for depth, energy in enumerate(energies) if math.isnan(energy)), None)
    if zero_depth is not None:
        return f"the ReLU outputs are all zero after layer {zero_depth}, so all nodes are alike"
    if not any(energies):
        return "is zero throughout: no two neighbors differ, or there are none"
    first, last = energies[0], energies[-1]
    ends = f"from {first:.3f} to {last:.3f} over {count(len(energies) - 1, 'layer')}"
    if last * FACTOR <= first:
        return f"falls {ends}: neighbors become more alike"
    if last >= FACTOR * first:
        return f"rises {ends}: neighbors become less alike"
    return f"changes {ends}: neighbors stay about as alike as before"
