"""Cost: seconds, memory and FLOPs of layers and models, compared with reference layers and with a lower bound.

For the quality of models see :mod:`seqgnn.analysis` and :mod:`seqgnn.experiments`.
"""

from seqgnn.profile.resources import PeakMemory, flops_per_sample, measurement
from seqgnn.profile.suite import Bench, bench

__all__ = ["Bench", "PeakMemory", "bench", "flops_per_sample", "measurement"]
