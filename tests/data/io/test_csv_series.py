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
