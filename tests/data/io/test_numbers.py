"""Numbers of every reader of text: plain digits within the range of float32."""

import pytest

from seqgnn.data import read_graph, read_signal
from seqgnn.data.io.positions import read_positions

TSF = "@attribute series_name string\n@attribute start date\n@frequency daily\n@data\na:2020-01-01 00-00-00:1,2,{}\n"
GRAPHML = (
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="d0" for="edge" attr.name="weight" '
    'attr.type="double"/><graph edgedefault="directed"><node id="a"/><node id="b"/><edge source="a" target="b">'
    '<data key="d0">{}</data></edge></graph></graphml>'
)
GEO, REL = "geo_id,type\na,Point\nb,Point\n", "rel_id,type,origin_id,destination_id,weight\n0,geo,a,b,{}\n"
DYNA = "dyna_id,type,time,entity_id,speed\n0,state,2020-01-01T00:00:00Z,a,1\n1,state,2020-01-01T00:00:00Z,b,{}\n"


def libcity(folder, cell, name):
    (folder / "c").mkdir(exist_ok=True)
    for suffix, text in (("geo", GEO), ("rel", REL), ("dyna", DYNA)):
        (folder / "c" / f"c.{suffix}").write_text(text.format(cell if suffix == name else 1), encoding="utf-8")
    return folder / "c"


def written(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


READERS = {
    "csv": lambda f, c: read_signal(written(f, "x.csv", f"time,a,b\n2020-01-01,1,2\n2020-01-02,3,{c}\n")),
    "first line": lambda f, c: read_signal(written(f, "x.csv", f"time,a,b\n2020-01-01,1,{c}\n2020-01-02,3,4\n")),
    "quoted": lambda f, c: read_signal(written(f, "x.csv", f'time,a,b\n2020-01-01,1,2\n2020-01-02,3,"{c}"\n')),
    "index": lambda f, c: read_signal(written(f, "x.csv", f"time,a,hour\n2020-01-01,1,2\n2020-01-02,3,{c}\n")),
    "tsf": lambda f, c: read_signal(written(f, "x.tsf", TSF.format(c))),
    "dyna": lambda f, c: read_signal(libcity(f, c, "dyna")),
    "rel": lambda f, c: read_signal(libcity(f, c, "rel")),
    "edges": lambda f, c: read_graph(written(f, "g.csv", f"from,to,weight\na,b,{c}\n"), ["a", "b"]),
    "matrix": lambda f, c: read_graph(written(f, "g.csv", f"a,b\n1,{c}\n0,1\n"), ["a", "b"]),
    "graphml": lambda f, c: read_graph(written(f, "g.graphml", GRAPHML.format(c)), ["a", "b"]),
    "positions": lambda f, c: read_positions(written(f, "p.csv", f"sensor_id,y,x\na,1,{c}\n"), ["a"]),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_other_numbers(name, tmp_path):
    READERS[name](tmp_path, "2.5")
    for cell in ("1_0", "٣", "１２", "1e39", "-1e39", "1e400"):
        with pytest.raises(ValueError, match=r"(read_\w+|TemporalGraph): expected ") as error:
            READERS[name](tmp_path, cell)
        is_located = cell in str(error.value) or "1e+39" in str(error.value) or "inf" in str(error.value)
        assert is_located and "\n" not in str(error.value)


def test_read_signal_names_line_and_column_of_a_number_above_float32(tmp_path):
    with pytest.raises(ValueError, match=r"got '1e39' in line 3, column 'b' of .*x\.csv, which float32 cannot hold"):
        READERS["csv"](tmp_path, "1e39")
    for cell in ("3.4028234e38", "-3.4e38"):
        assert READERS["csv"](tmp_path, cell).signal.isfinite().all()


@pytest.mark.parametrize("first", [0, 1])
def test_read_signal_column_that_numbers_lines_names_no_sensors(first, tmp_path):
    lines = [f"2020-01-0{i},{first + i - 1},{i}.5,{i}" for i in (1, 2, 3)]
    path = written(tmp_path, "x.csv", "\n".join(["time,id,a,b", *lines]))
    with pytest.raises(ValueError, match=rf"got a column 'id' with {first}, {first + 1}, .*\(--sensors\)"):
        read_signal(path)
    assert read_signal(path, sensors=["a", "b"]).num_nodes == 2


def test_read_graph_graphml_with_edges_of_unknown_nodes_is_refused(tmp_path):
    text = GRAPHML.format("1").replace('target="b"', 'target="x"')
    with pytest.raises(ValueError, match=r"g\.graphml \(.*no node of the id 'x', which an edge has in line 1\)"):
        read_graph(written(tmp_path, "g.graphml", text), ["a", "b"])


def test_read_graph_graphml_with_entities_is_refused(tmp_path):
    text = '<!DOCTYPE graphml [<!ENTITY one "1">]>' + GRAPHML.format("&one;")
    with pytest.raises(ValueError, match=r"g\.graphml \(ValueError: it defines the entity one\)"):
        read_graph(written(tmp_path, "g.graphml", text), ["a", "b"])


def test_read_signal_of_zero_bytes_and_endless_numbers_names_the_line(tmp_path):
    with pytest.raises(ValueError, match=r"expected text in .*x\.csv, got a zero byte in line 2"):
        read_signal(written(tmp_path, "x.csv", "a,b\n1,\0\n2,3\n"))
    for digits in (19, 30, 5000):
        lines = [f"{first}{'9' * digits},1" for first in (1, 2)]
        with pytest.raises(ValueError, match=r"read_signal: expected a timestamp, got .* in line 2"):
            read_signal(written(tmp_path, "x.csv", "\n".join(["time,a", *lines])))
