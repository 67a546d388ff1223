"""Rows of the table of a comparison, by hand."""

from seqgnn.metrics.significance import summary
from tests.support.comparisons import example


def test_comparison_row_of_failed_runs_has_no_scores():
    comparison = example(sizes=(4,))
    del comparison.runs["GCN", 4, 0]
    row = comparison.rows()[1]
    assert (row.model, row.seeds, row.failed, row.mean("accuracy"), row.targets) == ("GCN", 0, 1, None, None)


def test_comparison_row_as_dict_columns_are_alike_for_all_kinds():
    rows = [row.as_dict() for row in example().rows()]
    assert len({tuple(row) for row in rows}) == 1
    assert list(rows[0])[:6] == ["model", "kind", "size", "readout", "verdict", "accuracy"]
    assert [row["verdict"] for row in rows[:3]] == ["1 of 2 solved", "at chance", None]
    low, high = summary([0.5, 1.0]).t
    assert (rows[0]["accuracy_t_low"], rows[0]["accuracy_t_high"]) == (low, high)
    assert rows[2]["accuracy"] == 0.1 and rows[2]["accuracy_sd"] is None and rows[2]["accuracy_t_low"] is None
