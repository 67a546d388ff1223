"""Comparisons: their runs, how these are executed and stored, and the analysis of their results.

How results are shown is in :mod:`seqgnn.report`; what is measured on a single model in :mod:`seqgnn.analysis`.
"""

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.compare import plan, training_for
from seqgnn.experiments.grid.config import GridConfig
from seqgnn.experiments.grid.forecast_specs import FORECASTER_SPECS
from seqgnn.experiments.grid.seeds import AutoSeeds
from seqgnn.experiments.grid.specs import MODEL_SPECS
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.load import LoadedRuns, load_comparisons
from seqgnn.experiments.results.row import ComparisonRow
from seqgnn.experiments.run_plan import Plan
from seqgnn.experiments.runs.execution import ExecutionConfig
from seqgnn.experiments.runs.record import RunRecord
from seqgnn.experiments.runs.specs import ForecasterSpec, ModelSpec

__all__ = [
    "FORECASTER_SPECS",
    "MODEL_SPECS",
    "AutoSeeds",
    "Comparison",
    "ComparisonRow",
    "DataSource",
    "ExecutionConfig",
    "ForecasterSpec",
    "GridConfig",
    "LoadedRuns",
    "ModelSpec",
    "Plan",
    "RunRecord",
    "load_comparisons",
    "plan",
    "training_for",
]
