import dataclasses

import pytest

from seqgnn.nn import GCNLSTM
from seqgnn.profile import cases
from seqgnn.profile.cases import TimeBudget
from tests.support.benchmark_rows import PLAIN_SIZE, SIZE, measured, two_convs

# torch warns once per process that PyG's sparse matrices are in beta and not checked.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


def test_graph_case_has_times_speedups_and_memory_of_all():
    case = measured().cases[0]
    assert (case["layer"], case["reference_layer"], case["size"]) == ("GCNLSTM", "two GCNConv", SIZE)
    assert case["same"] and case["timed"] and case["difference_float64"] < 1e-12
    engines = set(cases.engines_of("cpu"))
    names = {"edge_index", "csr", *engines}
    for step in ("train", "infer"):
        found = case[step]
        assert set(found["times"]) == names | {"lower_bound"} and set(found["times_lower_bound"]) == names
        assert found["best_format"] in ("edge_index", "csr")
        faster, by_edges = found["speedup"], found["speedup_by_edges"]
        assert set(faster) == set(by_edges) == engines and min(faster.values()) > 0
    assert set(case["peak_bytes"]) == names and min(case["peak_bytes"].values()) > 0
    assert case["memory_relative_to_reference"]["reference"] == 1.0


def test_plain_case_has_torch_as_reference_layer():
    case = measured().cases[1]
    assert (case["layer"], case["reference_layer"], case["size"]) == ("GRU", "torch.nn.GRU", PLAIN_SIZE)
    assert case["train"]["best_format"] == "torch" and "speedup_by_edges" not in case["train"]


def test_graph_case_with_different_outputs_is_not_timed():
    other = dataclasses.replace(two_convs(), equivalent=lambda layer: GCNLSTM(2, 3).to(layer.conv_x.bias))
    case = cases.graph_case(other, SIZE, "cpu", ["reference"], TimeBudget())
    assert not case["same"] and not case["timed"] and "train" not in case
    assert cases.cells(case, ["reference"])[0][0] == "not timed"


def test_plain_case_without_remaining_time_is_not_timed():
    case = cases.plain_case("GRU", PLAIN_SIZE, "cpu", ["auto"], TimeBudget(remaining=0.0))
    assert case["same"] and not case["timed"] and "train" not in case
    assert cases.cells(case, ["auto"]) == [["not timed", "not enough time"]]


def test_cells_show_times_speedups_and_memory_ratios():
    def part(edges, csr, fast, lower_bound):
        times = {"edge_index": edges, "csr": csr, "auto": fast, "lower_bound": lower_bound}
        return {
            "times": {name: {"median_ms": value} for name, value in times.items()},
            "speedup": {"auto": csr / fast},
            "times_lower_bound": {name: value / lower_bound for name, value in times.items() if name != "lower_bound"},
        }

    case = {"timed": True, "train": part(90.0, 45.0, 15.0, 10.0), "infer": part(30.0, 15.0, 5.0, 2.5)}
    case |= {"peak_bytes": {"edge_index": 3e6, "csr": 2e6, "auto": 1e6}, "memory_relative_to_reference": {"auto": 0.5}}
    assert cases.cells(case, ["auto", "fused"]) == [
        ["training, ms", "90 (45)", "15 (3x 1.5b)", "", "10"],
        ["inference, ms", "30 (15)", "5 (3x 2b)", "", "2.5"],
        ["memory, MB", "3 (2)", "1 (0.50)", "", ""],
    ]


@pytest.mark.parametrize(("compiled", "cpp"), [(object(), ["cpp"]), (None, [])])
def test_engines_of_a_device_are_those_that_run_there(monkeypatch, compiled, cpp):
    monkeypatch.setattr(cases, "ENGINES", ("auto", "cpp", "fused", "triton", "reference"))
    monkeypatch.setattr(cases.library, "load", lambda: (compiled, ""))
    assert cases.engines_of("cpu") == ["auto", *cpp, "fused", "reference"]
    assert cases.engines_of("cuda") == ["auto", "fused", "triton", "reference"]
