"""The checkout, the recorded numbers and the data sets that tests may find on this machine."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "graph_recurrent.json"  # numbers of PyTorch Geometric Temporal and of papers
DATA = Path(os.environ.get("SEQGNN_DATA", ROOT.parent / "shared" / "data"))  # tests that need it are skipped without it
