"""Tables in text files: dialects, missing values and the places of mistakes."""

import numpy as np
import pytest

from seqgnn.data.io.csv_tables import check_distinct, numbers, read_table


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "\ufeffa;b\r\n1;2\r\n\r\n", "a\tb\n1\t 2\n", "a,b\r\r\n1,2\r\r\n"])
def test_read_table_of_any_dialect_returns_cells(write, content):
    assert read_table("read", write(content)) == [["a", "b"], ["1", "2"]]


def test_read_table_empty_lines_of_one_column_are_missing_values(write):
    assert read_table("read", write("a\n\n3\n")) == [["a"], [""], ["3"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "read: expected a table, got the empty file"),
        ("a,b\n1\n", "read: expected 2 values, as in the first line, got 1 in line 2"),
        (b"a,\xe9\n", "to be UTF-8, got byte 0xe9"),
    ],
)
def test_read_table_invalid_content_raises_value_error(write, content, message):
    with pytest.raises(ValueError, match=message):
        read_table("read", write(content))


def test_numbers_of_missing_cells_are_nan(tmp_path):
    found = numbers("read", [["1", "NA"], ["", "-2.5e1"]], ["a", "b"], tmp_path, 2)
    assert np.array_equal(found, [[1, np.nan], [np.nan, -25]], equal_nan=True)
    for cell in ("two", "inf"):
        with pytest.raises(ValueError, match=f"got '?{cell}'? in line 3, column 'b'"):
            numbers("read", [["1", "2"], ["3", cell]], ["a", "b"], tmp_path, 2)


def test_check_distinct_names_the_repeated_name(tmp_path):
    check_distinct("read", ["a", "b"], tmp_path)
    with pytest.raises(ValueError, match=r"read: expected distinct sensors, got 'a'"):
        check_distinct("read", ["a", "b", "a"], tmp_path)
