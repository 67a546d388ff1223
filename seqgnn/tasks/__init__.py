"""Tasks: samples with their targets, losses and metrics.

Containers and readers of samples are in :mod:`seqgnn.data`, metrics in :mod:`seqgnn.metrics`.
"""

from seqgnn.tasks.adding import Adding
from seqgnn.tasks.base import DrawnTask, Task
from seqgnn.tasks.copying import Copying
from seqgnn.tasks.expression_trees import ExpressionTrees
from seqgnn.tasks.forecasting import Forecasting, ForecastObjective, Protocol
from seqgnn.tasks.language_modeling import CharText
from seqgnn.tasks.objectives import Classification, Objective, Regression
from seqgnn.tasks.recall import FirstDigitRecall, Palindromes
from seqgnn.tasks.tree_distance import TreeDistance

__all__ = [
    "Adding",
    "CharText",
    "Classification",
    "Copying",
    "DrawnTask",
    "ExpressionTrees",
    "FirstDigitRecall",
    "ForecastObjective",
    "Forecasting",
    "Objective",
    "Palindromes",
    "Protocol",
    "Regression",
    "Task",
    "TreeDistance",
]
