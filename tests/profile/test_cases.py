import dataclasses

import pytest

from seqgnn.nn import GCNLSTM
from seqgnn.profile import cases
from seqgnn.profile.cases import Pace
from tests.support.benchmark_rows import PLAIN_SIZE, SIZE, measured, two_convs

# Of the matrices of PyG torch says once in a process that they are in beta and not checked.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


def test_a_case_has_times_ratios_and_memory_of_all():
    case = measured().cases[0]
    assert (case["layer"], case["peer"], case["size"]) == ("GCNLSTM", "two GCNConv", SIZE)
    assert case["same"] and case["timed"] and case["difference_float64"] < 1e-12
    names = {"edge_index", "csr", "auto", "fused", "reference"}
    for step in ("train", "infer"):
        found = case[step]
        assert set(found["times"]) == names | {"floor"} and set(found["times_the_floor"]) == names
        assert found["best_way"] in ("edge_index", "csr")
        faster, by_edges = found["times_faster_than_peer"], found["times_faster_than_peer_by_edges"]
        assert set(faster) == set(by_edges) == {"auto", "fused", "reference"} and min(faster.values()) > 0
    assert set(case["peak_bytes"]) == names and min(case["peak_bytes"].values()) > 0
    assert case["memory_relative_to_reference"]["reference"] == 1.0


def test_of_plain_layers_the_peer_is_torch():
    case = measured().cases[1]
    assert (case["layer"], case["peer"], case["size"]) == ("GRU", "torch.nn.GRU", PLAIN_SIZE)
    assert case["train"]["best_way"] == "torch" and "times_faster_than_peer_by_edges" not in case["train"]


def test_what_does_not_compute_the_same_is_not_timed():
    other = dataclasses.replace(two_convs(), twin=lambda layer: GCNLSTM(2, 3).to(layer.conv_x.bias))
    case = cases.graph_case(other, SIZE, "cpu", ["reference"], Pace())
    assert not case["same"] and not case["timed"] and "train" not in case
    assert cases.cells(case, ["reference"])[0][0] == "not timed"


def test_what_needs_more_time_than_is_left_is_not_timed():
    case = cases.plain_case("GRU", PLAIN_SIZE, "cpu", ["auto"], Pace(left=0.0))
    assert case["same"] and not case["timed"] and "train" not in case
    assert cases.cells(case, ["auto"]) == [["not timed", "no time for it"]]


def test_cells_show_times_ratios_and_shares():
    def part(edges, csr, fast, floor):
        times = {"edge_index": edges, "csr": csr, "auto": fast, "floor": floor}
        return {
            "times": {name: {"median_ms": value} for name, value in times.items()},
            "times_faster_than_peer": {"auto": csr / fast},
            "times_the_floor": {name: value / floor for name, value in times.items() if name != "floor"},
        }

    case = {"timed": True, "train": part(90.0, 45.0, 15.0, 10.0), "infer": part(30.0, 15.0, 5.0, 2.5)}
    case |= {"peak_bytes": {"edge_index": 3e6, "csr": 2e6, "auto": 1e6}, "memory_relative_to_reference": {"auto": 0.5}}
    assert cases.cells(case, ["auto", "fused"]) == [
        ["training, ms", "90 (45)", "15 (3x 1.5f)", "", "10"],
        ["inference, ms", "30 (15)", "5 (3x 2f)", "", "2.5"],
        ["memory, MB", "3 (2)", "1 (0.50)", "", ""],
    ]


def test_on_the_cpu_no_kernel_is_interpreted(monkeypatch):
    monkeypatch.setattr(cases, "ENGINES", ("auto", "fused", "triton", "reference"))
    assert cases.engines_of("cpu") == ["auto", "fused", "reference"]
    assert cases.engines_of("cuda") == ["auto", "fused", "triton", "reference"]
