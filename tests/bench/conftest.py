"""One round of the smallest rows, measured once."""

import warnings
from collections.abc import Iterator

import pytest

from seqgnn.bench import run
from seqgnn.bench.peers import Peer, peers
from seqgnn.bench.run import Bench, Row

SIZE, PLAIN_SIZE = (3, 12, 2, 2, 3), (3, 2, 2, 3)


def two_convs() -> Peer:
    (found,) = (peer for peer in peers() if peer.name == "two GCNConv")
    return found


@pytest.fixture(autouse=True)
def sparse_matrices_of_pyg() -> Iterator[None]:
    """Of which torch says once in a process that they are in beta and not checked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        yield


@pytest.fixture
def rows() -> list[Row]:
    return [Row("GCNLSTM", SIZE, two_convs()), Row("GRU", PLAIN_SIZE, None)]


@pytest.fixture(scope="session")
def measured() -> Bench:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "ROUNDS", 1)
        return run.bench(60.0, rows=[Row("GCNLSTM", SIZE, two_convs()), Row("GRU", PLAIN_SIZE, None)])
