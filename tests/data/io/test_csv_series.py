"""Time series in csv files."""

import pandas as pd
import pytest

from seqgnn.data import read_signal
from seqgnn.data.io.table_format import TableFormat

DECIMAL_COMMA = "time;a;b\n2012-03-01;1,5;-2,25\n2012-03-02;3,0;\n"


def test_read_signal_decimal_comma_equals_pandas(write):
    path = write(DECIMAL_COMMA)
    expected = pd.read_csv(path, sep=";", decimal=",", index_col=0)
    graph = read_signal(path, table_format=TableFormat(decimal=","))
    assert graph.nodes == tuple(expected.columns)
    assert graph.signal[..., 0].tolist() == expected.fillna(0).to_numpy().tolist()
    assert graph.mask.sum() == 3


def test_table_format_invalid_values_raise_value_error():
    with pytest.raises(ValueError, match=r"expected decimal to be one of '\.', ',', got ';'"):
        TableFormat(decimal=";")


@pytest.mark.parametrize("blank", ["", " "])
def test_blanks_after_delimiters_far_down_a_file_are_no_part_of_cells(blank, tmp_path):
    steps = [f"{i},{i}.5,{i + 1}" for i in range(2000)]
    steps[1900], steps[1950] = f"1900,{blank}7.25,{blank}NA", f"1950,{blank}nan,8"
    (tmp_path / "a.csv").write_text("\n".join(["index,a,b", *steps]) + "\n")
    graph = read_signal(tmp_path / "a.csv")
    assert graph.signal[1900, 0, 0] == 7.25 and graph.signal[1950, 1, 0] == 8
    assert (~graph.mask).nonzero().tolist() == [[1900, 1, 0], [1950, 0, 0]]
