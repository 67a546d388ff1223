"""seqgnn: graph layers, recurrent layers and their hybrids, compared on the same samples.

Each room is a package of its own: `nn` has the layers, `data` the data sets, `tasks` what is predicted from them,
`metrics` the scores, `models` whole models and baselines, `training` the loop, `profile` the cost, `analysis` what a
trained model does, `experiments` the comparisons, `report` their tables, plots and page, `cli` the command line.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqgnn import analysis, data, experiments, metrics, models, nn, profile, report, tasks, training
    from seqgnn.experiments.compare import compare

__version__ = "0.1.0"
__all__ = [
    "analysis",
    "compare",
    "data",
    "experiments",
    "metrics",
    "models",
    "nn",
    "profile",
    "report",
    "tasks",
    "training",
]


def __getattr__(name: str) -> Any:
    """The rooms and `compare`, imported when they are first asked for: `seqgnn --help` needs none of them."""
    if name == "compare":
        return import_module("seqgnn.experiments.compare").compare
    if name in __all__:
        return import_module(f"seqgnn.{name}")
    raise AttributeError(f"module 'seqgnn' has no attribute {name!r}")
