"""Comparisons: which runs there are, how they are executed and stored, and what their results say.

How results are shown is in :mod:`seqgnn.report`; what is measured on a single model in :mod:`seqgnn.analysis`.
"""

from seqgnn.experiments.compare import Plan, plan, plan_forecast
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.load import collect

__all__ = ["Comparison", "Plan", "collect", "plan", "plan_forecast"]
