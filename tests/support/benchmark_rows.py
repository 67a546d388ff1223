"""The smallest rows of the bench, measured once in one round."""

from functools import cache
from unittest.mock import patch

from seqgnn.profile import suite as run
from seqgnn.profile.reference_layers import ReferenceLayer, reference_layers
from seqgnn.profile.suite import Bench, Row

SIZE, PLAIN_SIZE = (3, 12, 2, 2, 3), (3, 2, 2, 3)


def two_convs() -> ReferenceLayer:
    (layer,) = (reference for reference in reference_layers() if reference.name == "two GCNConv")
    return layer


@cache
def measured() -> Bench:
    with patch.object(run, "ROUNDS", 1):
        return run.bench(60.0, rows=[Row("GCNLSTM", SIZE, two_convs()), Row("GRU", PLAIN_SIZE, None)])
