import pytest
from matplotlib.figure import Figure

from seqgnn.report.plots import style as figures


def test_style_of_variants_differs_in_line_then_in_darkness():
    labels = [f"LSTM, forget bias {bias}" for bias in range(7)]
    styles = [figures.style(label, labels) for label in labels]
    assert len({(color, line) for color, _, line in styles}) == 7
    assert {color for color, _, _ in styles[:3]} == {figures.STYLES["LSTM"][0]} != {styles[3][0]}
    assert styles[3][0] == "#6A2F00"


def test_style_of_models_in_a_comparison_has_distinct_colors():
    forecasters = ["truth", "baselines", "Linear", "GCRN", "DCRNN", "LSTM"]
    own = ["truth", "baselines", "mine", "GCRN", "DCRNN, two layers", "yours"]
    for labels in (forecasters, own):
        colors = [figures.style(label, labels)[0] for label in labels]
        assert len(set(colors)) == len(labels)
        assert colors[:2] == figures.OTHERS[:2]


def test_save_of_failing_figure_leaves_existing_files(tmp_path):
    paths = figures.save(Figure(), tmp_path / "a.b")
    assert [path.name for path in paths] == ["a.b.png", "a.b.svg"]
    before = [path.read_bytes() for path in paths]

    class Broken(Figure):
        def savefig(self, file, **options):
            file.write(b"half")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        figures.save(Broken(), tmp_path / "a.b")
    assert [path.read_bytes() for path in paths] == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.b.png", "a.b.svg"}
