"""Time series on graphs in the catalog."""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file of the catalog.

    Attributes:
        url: permanent URL of the file, pinned to a commit; empty if it has none.
        file: path within a data folder.
        sha256, bytes: checksum and size of the file; without a URL no checksum, and the size is approximate.
        page: page with links to a file without a permanent URL, which users download themselves.
    """

    url: str
    file: str
    sha256: str
    bytes: int
    page: str | None = None


@dataclass(frozen=True)
class SignalSource:
    """A time series of the catalog.

    Attributes:
        title: what was measured, where and when.
        files: the first one has the time series.
        steps, nodes: numbers of time steps and nodes.
        units: units of the values in the file.
        rights: license of the source repository.
    """

    title: str
    files: tuple[File, ...]
    steps: int
    nodes: int
    units: str
    rights: str = "MIT"

    @property
    def bytes(self) -> int:
        """Total size of all files."""
        return sum(file.bytes for file in self.files)


_GITHUB = "https://raw.githubusercontent.com"
_PYG_TEMPORAL = (
    f"{_GITHUB}/benedekrozemberczki/pytorch_geometric_temporal/adefe44265ad8faf239fd6cf3b59b95ca3ee60aa/dataset"
)
_TGCN = f"{_GITHUB}/lehaifeng/T-GCN/219a2346f5bf68d54d91a948e7a41a08f9edc46b/data"
_DCRNN = f"{_GITHUB}/liyaguang/DCRNN/602afd9d767d3aa1c9b3eac51710d6aeee12c227/data/sensor_graph"

_DCRNN_PAGE = "https://github.com/liyaguang/DCRNN#data-preparation"
_METR_LA_GRAPH = File(
    f"{_DCRNN}/adj_mx.pkl",
    "metr_la/adj_mx.pkl",
    "a35687c6e15aa228dc45027b0ed2a0ea0f4ec78f573deb992c595092d12f61b3",
    680_459,
)
_METR_LA_POSITIONS = File(
    f"{_DCRNN}/graph_sensor_locations.csv",
    "metr_la/graph_sensor_locations.csv",
    "eb8ea96e07358b45d0e4ba3b89c2673fa20c54af50150249e627389e749ade6f",
    6_341,
)

SIGNALS = {
    "chickenpox": SignalSource(
        "Chickenpox in Hungary's counties, weekly changes, 2005-2014",
        (
            File(
                f"{_PYG_TEMPORAL}/chickenpox.json",
                "pyg_temporal/chickenpox.json",
                "724b48cfb274b2ecbb855bdb99b970b5ef9dd3671694fa477435dc1e08293735",
                220_340,
            ),
        ),
        521,
        20,
        "standard deviations",
    ),
    "pedalme": SignalSource(
        "Deliveries by bicycle in London, weekly, 2020-2021",
        (
            File(
                f"{_PYG_TEMPORAL}/pedalme_london.json",
                "pyg_temporal/pedalme_london.json",
                "8c42b893441901fb805c4f0f937543d5bb9297884ac3dec7622a3e9f7c35a79b",
                17_156,
            ),
        ),
        35,
        15,
        "log ratios",
    ),
    "metr-la-week": SignalSource(
        "Speeds on Los Angeles' highways, 1-7 March 2012 (METR-LA)",
        (
            File(
                f"{_TGCN}/los_speed.csv",
                "metr_la/los_speed.csv",
                "7b732d86ae32b2930595becba28aff39dacbfb2197e250fc0332e1744ce2cbf4",
                3_402_125,
            ),
            File(
                f"{_TGCN}/los_adj.csv",
                "metr_la/los_adj.csv",
                "7a6eb41e10677992b5af50f5ab187c6c05c5c3a92cb973950cfddbf857361e76",
                111_686,
            ),
            _METR_LA_GRAPH,
            _METR_LA_POSITIONS,
        ),
        2016,
        207,
        "miles per hour",
    ),
    "metr-la": SignalSource(
        "Speeds on Los Angeles' highways, March to June 2012 (METR-LA)",
        (File("", "metr_la/metr-la.h5", "", 57_000_000, _DCRNN_PAGE), _METR_LA_GRAPH, _METR_LA_POSITIONS),
        34_272,
        207,
        "miles per hour",
    ),
    "pems-bay": SignalSource(
        "Speeds on highways of the San Francisco Bay Area, January to June 2017 (PEMS-BAY)",
        (
            File("", "pems_bay/pems-bay.h5", "", 136_000_000, _DCRNN_PAGE),
            File(
                f"{_DCRNN}/adj_mx_bay.pkl",
                "pems_bay/adj_mx_bay.pkl",
                "116275f5704d0d492018e14c047f7ae5004385b450aa907f88424055a4a97370",
                1_681_480,
            ),
            File(
                f"{_DCRNN}/graph_sensor_locations_bay.csv",
                "pems_bay/graph_sensor_locations_bay.csv",
                "276ee01059610774d4e59572507f7e32eaac21f1f5882fcd9e3d7d426a4b7a6c",
                9_750,
            ),
        ),
        52_116,
        325,
        "miles per hour",
    ),
    "england-covid": SignalSource(
        "COVID-19 cases in England's regions, daily, spring 2020",
        (
            File(
                f"{_PYG_TEMPORAL}/england_covid.json",
                "pyg_temporal/england_covid.json",
                "497056cc4585b58951fd5cd17554fe0c535f68ea0c907a5b5727ae30e3913450",
                1_436_945,
            ),
        ),
        61,
        129,
        "cases",
    ),
    "montevideo-bus": SignalSource(
        "Passengers at Montevideo's bus stops, hourly, October 2020",
        (
            File(
                f"{_PYG_TEMPORAL}/montevideo_bus.json",
                "pyg_temporal/montevideo_bus.json",
                "37d9c6286d474077b5c05173c1570c4da42c387013116daa8862c7a6cab86a75",
                3_131_884,
            ),
        ),
        744,
        675,
        "passengers",
    ),
}
