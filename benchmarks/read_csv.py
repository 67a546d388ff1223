"""Time of `read_signal` on a csv file of 100 MB, compared with `pandas.read_csv`, taking turns."""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from seqgnn.data import read_signal
from seqgnn.profile.resources import measurement

SENSORS = 207
BYTES_PER_STEP = 2480
RESULTS = Path(__file__).parent / "results" / "read_csv.json"


def write(path: Path, megabytes: float) -> None:
    """Write speeds of 207 sensors every five minutes, with eight decimals, some of them missing."""
    steps = int(megabytes * 1e6 / BYTES_PER_STEP)
    generator = np.random.default_rng(0)
    values = generator.gamma(5, 10, (steps, SENSORS)).round(8)
    values[generator.random(values.shape) < 0.01] = np.nan
    index = pd.date_range("2012-03-01", periods=steps, freq="5min", name="time")
    pd.DataFrame(values, index=index, columns=[f"s{i}" for i in range(SENSORS)]).to_csv(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speeds.csv"
        write(path, options.megabytes)
        readers = {
            "pandas": lambda: pd.read_csv(path),
            "pandas, with times": lambda: pd.read_csv(path, index_col=0, parse_dates=True),
            "seqgnn": lambda: read_signal(path),
        }
        graph, table = read_signal(path), pd.read_csv(path, index_col=0, parse_dates=True)
        assert np.array_equal(graph.signal[..., 0], table.fillna(0).to_numpy(np.float32))
        assert np.array_equal(graph.timestamps, table.index)
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(options.rounds):
            for name, read in readers.items():
                start = time.process_time()
                read()
                seconds[name].append(time.process_time() - start)
        size = path.stat().st_size
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    result = {
        "bytes": size,
        "steps": len(graph),
        "sensors": SENSORS,
        "cpu_seconds": {name: round(value, 3) for name, value in medians.items()},
        "ratio_to_pandas": round(medians["seqgnn"] / medians["pandas"], 2),
        "ratio_to_pandas_with_times": round(medians["seqgnn"] / medians["pandas, with times"], 2),
        "rounds": options.rounds,
        "measured": {**measurement(), "pandas": pd.__version__},
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
