"""Cost: seconds, memory and FLOPs of layers and models, compared with reference layers and with a lower bound.

How good a model is, is measured in :mod:`seqgnn.analysis` and compared in :mod:`seqgnn.experiments`.
"""

from seqgnn.profile.resources import PeakMemory, flops_per_sample, measurement
from seqgnn.profile.suite import Bench, bench

__all__ = ["Bench", "PeakMemory", "bench", "flops_per_sample", "measurement"]
