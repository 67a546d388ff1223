"""The report on the quality of a time series."""

import torch

from seqgnn.data import TemporalGraph, read_signal
from seqgnn.data.quality_report import describe_signal
from tests.support.temporal_graphs import SIGNAL_CSV


def test_describe_signal_reports_gaps_missing_values_and_edges(write):
    graph = read_signal(write(SIGNAL_CSV), write("from,to,weight\na,b,0.5\nb,a,0.5\na,a,1\n", "edges.csv"))
    assert describe_signal(graph) == [
        "3 steps, 3 sensors (a, b, c), 1 feature",
        "every 5 minutes, 2012-03-01 00:00 to 2012-03-01 00:15, 1 gap: 10 minutes after 2012-03-01 00:05; "
        "`seqgnn compare forecast --fill-gaps` and TemporalGraph.fill_gaps insert the missing steps",
        "values from 0 to 30, missing 11.1%: b 33.3%, zeros 37.5%",
        "constant: c",
        "3 edges, weights from 0.5 to 1, 1 isolated node (c), 1 self-loop, symmetric",
    ]
    rows = "\n".join(",".join([""] * 7 + ["1"]) for _ in range(2))
    report = describe_signal(read_signal(write(f"a,b,c,d,e,f,g,h\n{rows}\n")))
    assert report[1:3] == [
        "no timestamps",
        "values from 1 to 1, missing 87.5%: a 100.0%, b 100.0%, c 100.0%, d 100.0%, e 100.0% and 2 more",
    ]
    assert report[4] == "0 edges, 8 isolated nodes, 0 self-loops, symmetric"
    assert "no observed values" in describe_signal(read_signal(write("a,b\n,\n")))


def test_describe_signal_names_features_and_the_target():
    graph = TemporalGraph(torch.ones(4, 2, 2), torch.empty(2, 0, dtype=torch.long), features=["speed", "flow"])
    assert describe_signal(graph)[0] == "4 steps, 2 sensors, 2 features (target: speed; others: flow)"


def test_describe_signal_names_sensors_and_the_target():
    signal, edges = torch.ones(2, 4, 3), torch.empty(2, 0, dtype=torch.long)
    names = ("flow", "occupancy", "speed")
    graph = TemporalGraph(signal, edges, nodes=["07", "08", "09", "10"], features=names)
    assert describe_signal(graph)[0] == (
        "2 steps, 4 sensors (07, 08, 09, ...), 3 features (target: flow; others: occupancy, speed)"
    )
    graph = TemporalGraph(signal, edges, nodes=["0", "1", "2", "3"])  # numbers, as without names
    assert describe_signal(graph)[0] == "2 steps, 4 sensors, 3 features"


def test_describe_signal_counts_missing_values_of_other_features():
    values = torch.arange(24.0).reshape(4, 2, 3)
    values[1, 0, 1] = values[2, 1, 1] = torch.nan
    graph = TemporalGraph(values, torch.empty(2, 0, dtype=torch.long), features=["load", "wind", "sun"])
    assert describe_signal(graph)[3] == "missing in other features: wind 25.0%"


def test_describe_signal_shows_counters_to_the_last_digit():
    graph = TemporalGraph(123456789 + torch.arange(6, dtype=torch.float64).reshape(3, 2), torch.empty(2, 0).long())
    assert describe_signal(graph)[2] == "values from 123456789 to 123456794, nothing missing"


def test_describe_signal_missing_values_are_those_of_the_target():
    """Half of the other feature is missing: neither the target's share nor its sensors may change."""
    signal = torch.arange(1.0, 17).reshape(4, 2, 2)
    signal[:2, :, 1] = torch.nan
    edges = torch.empty(2, 0, dtype=torch.long)
    lines = describe_signal(TemporalGraph(signal, edges))
    assert lines[2] == "values from 1 to 15, nothing missing"
    mask = torch.ones(4, 2, 1, dtype=torch.bool)
    mask[0, 0] = False
    lines = describe_signal(TemporalGraph(signal, edges, mask=mask))
    assert lines[2] == "values from 3 to 15, missing 12.5%: 0 25.0%"
