"""Cost of runs: operations compared with counts by hand, and peak memory."""

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.data import SequenceGraph
from seqgnn.models.sequence_model import build
from seqgnn.nn import GCNConv
from seqgnn.profile import resources as measure
from seqgnn.profile.resources import PeakMemory, flops_per_sample

F, H, C = 7, 6, 5


def batch_of(*lengths):
    return Batch.from_data_list([SequenceGraph.from_values([i % F for i in range(n)], y=1) for n in lengths])


def flops(name, batch, **options):
    model = build(name, num_classes=C, num_tokens=F, hidden=H, **options)
    return flops_per_sample(model, batch) * batch.num_graphs


@pytest.mark.parametrize("name, gates", [("rnn", 1), ("lstm", 4), ("gru", 3)])
@pytest.mark.parametrize("lengths", [(5, 5, 5), (7, 2, 1, 4)])
def test_flops_of_recurrent_layers_include_padding(name, gates, lengths):
    padded = max(lengths) * len(lengths)
    expected = 2 * padded * gates * H * (F + H) + 2 * len(lengths) * H * C
    assert flops(name, batch_of(*lengths)) == expected
    if name == "lstm" and len(lengths) == 4:
        assert expected == 17712


@pytest.mark.parametrize("lengths", [(5, 5, 5), (7, 2, 1, 4), (40,) * 30])
@pytest.mark.parametrize("readout", ["last", "mean"])
def test_flops_of_an_edge_are_two_per_channel(lengths, readout):
    nodes, graphs = sum(lengths), len(lengths)
    entries = (nodes - graphs) + nodes  # edges and self-loops
    head = 2 * graphs * H * C
    batch = batch_of(*lengths)
    # The first layer propagates the F inputs before the linear map, the second H channels in either order.
    expected = 2 * nodes * (F * H + H * H) + 2 * entries * (F + H) + head
    assert flops("gcn", batch, num_layers=2, hops=(1,), readout=readout) == expected
    expected = 2 * nodes * (F * H + 2 * H * H) + 2 * entries * 2 * H + head
    assert flops("gcn-residual", batch, num_layers=2, hops=(1,), readout=readout) == expected


def test_flops_of_graphs_in_the_gates_count_every_step():
    steps, window = 15, 4
    entries = (window - 1) + window
    expected = 2 * steps * (window * 4 * H + entries) * (F + H) + 2 * 3 * H * C
    assert flops("gcn-in-lstm", batch_of(5, 5, 5)) == expected


class Messages(GCNConv):
    """Overrides `message`, so that messages are computed edge by edge."""

    def message(self, x_j, edge_weight):
        return edge_weight.view(-1, 1) * x_j


@pytest.mark.parametrize("conv", [GCNConv, Messages])
def test_flops_of_messages_equal_those_of_the_sparse_product(conv):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv(F, H)

        def forward(self, batch):
            return self.conv(torch.ones(batch.num_nodes, F), batch.edge_index)

    channels = F if conv is GCNConv else H  # messages are mapped first
    assert flops_per_sample(Model(), batch_of(5)) == 2 * 5 * F * H + 2 * (4 + 5) * channels


def test_peak_memory_is_measured_since_its_creation(tmp_path, monkeypatch):
    status, clear = tmp_path / "status", tmp_path / "clear_refs"
    status.write_text("Name: x\nVmHWM:\t  2000 kB\nVmRSS:\t 500 kB\n")
    monkeypatch.setattr(measure, "_STATUS", status)
    monkeypatch.setattr(measure, "_CLEAR", clear)
    peak = PeakMemory("cpu")
    assert clear.read_text() == "5" and peak.read() == 1500 * 1024
    status.write_text("Name: x\n")
    assert peak.read() is None
    status.unlink()
    assert peak.read() is None


def test_measurement_names_the_machine(tmp_path, monkeypatch):
    found = measure.measurement((0.0, 0.0))
    assert found["cores"] >= 1 and found["threads"] >= 1 and found.get("memory", 2**30) >= 2**28
    processors = tmp_path / "cpuinfo"
    processors.write_text("processor : 0\nmodel name : Abacus: 7 beads\n")
    monkeypatch.setattr(measure, "_PROCESSORS", processors)
    assert measure.measurement((0.0, 0.0))["processor"] == "Abacus: 7 beads"
    processors.unlink()
    assert "processor" not in measure.measurement((0.0, 0.0))


@pytest.mark.skipif(not measure._CLEAR.exists(), reason="the system does not report the peak")
def test_peak_memory_excludes_earlier_and_freed_memory():
    earlier = torch.ones(2**23)  # 32 MB
    freed = torch.ones(2**24)
    del freed
    peak = PeakMemory("cpu")
    used = torch.ones(2**22)
    assert 2**24 <= peak.read() < 2**25, (earlier.numel(), used.numel())


def test_peak_memory_that_cannot_be_reset_is_none(tmp_path, monkeypatch):
    status = tmp_path / "status"
    status.write_text("VmHWM:\t  2000 kB\n")
    monkeypatch.setattr(measure, "_STATUS", status)
    monkeypatch.setattr(measure, "_CLEAR", tmp_path / "missing" / "clear_refs")
    assert PeakMemory("cpu").read() is None
