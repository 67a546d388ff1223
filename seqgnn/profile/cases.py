"""One benchmark case: a layer at one size, checked against its reference layer, then timed, then its peak memory.

Reference layers run in their fastest configuration: the graph is normalized once where they can cache it, the windows
of a batch form one disjoint graph, and layers that accept a CSR matrix are timed with it and with edge lists. Speedups
are relative to the faster of the two.
"""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqgnn.nn.recurrent.graph_rnn import ENGINES, GraphRecurrent
from seqgnn.nn.scan.cpp import library
from seqgnn.profile import plain_layers as plain
from seqgnn.profile import reference_layers as references
from seqgnn.profile.lower_bound import LowerBound, graph_lower_bound, plain_lower_bound
from seqgnn.profile.plain_layers import PlainSize, SequenceInputs
from seqgnn.profile.reference_layers import (
    TOLERANCE,
    TOLERANCE_TIMED,
    Candidate,
    GraphInputs,
    LayerInputs,
    ReferenceLayer,
    Size,
)
from seqgnn.profile.timing import MIN_ROUNDS, Step, interleaved_timing, peak_memory, ratio, summary

TRAINING = 3.5  # a training step takes about this many times as long as inference


@dataclass(frozen=True)
class TimeBudget:
    """Time limits of a case.

    Args:
        rounds: the maximum number of rounds.
        seconds: no round starts later than this, except the first `MIN_ROUNDS`.
        remaining: the case is not timed if the first `MIN_ROUNDS` are expected to take longer than this, in seconds.
    """

    rounds: int = 9
    seconds: float = math.inf
    remaining: float = math.inf


def engines_of(device: str) -> list[str]:
    """Return the engines to time on a device: the compiled library is for the CPU, and Triton kernels are interpreted
    there."""
    elsewhere = {"triton"} if device == "cpu" else {"cpp"}
    if library.load()[0] is None:
        elsewhere.add("cpp")
    return [engine for engine in ENGINES if engine not in elsewhere]


def graph_case(
    reference: ReferenceLayer, size: Size, device: str, engines: Sequence[str], budget: TimeBudget
) -> dict[str, Any]:
    """Return times, speedups and memory of a graph-recurrent layer.

    They are missing, and `timed` is False, if the outputs differ from the reference layer's (`same` is False) or if
    the remaining time is too short.
    """
    head = {"layer": reference.equivalent_name, "reference_layer": reference.name, "size": size}
    difference = references.disagreement(reference, size, device, engines)
    inputs = GraphInputs(size, device)
    candidates = references.candidates(reference, inputs, engines)
    layer = candidates[engines[0]].layer
    assert isinstance(layer, GraphRecurrent)
    lower_bound = graph_lower_bound(layer, layer.prepare(inputs.edge_index, inputs.edge_weight, size[1]), size)
    return head | _case(candidates, reference.graph_formats, inputs, lower_bound, difference, device, budget)


def plain_case(kind: str, size: PlainSize, device: str, engines: Sequence[str], budget: TimeBudget) -> dict[str, Any]:
    """Return the same for "RNN", "LSTM" or "GRU" compared with torch.nn's layer."""
    head = {"layer": kind, "reference_layer": f"torch.nn.{kind}", "size": size}
    difference = plain.plain_disagreement(kind, size, device, engines)
    inputs = SequenceInputs(size, device)
    candidates = plain.plain_candidates(kind, inputs, engines)
    lower_bound = plain_lower_bound(kind, size, inputs.grad_output)
    return head | _case(candidates, ("torch",), inputs, lower_bound, difference, device, budget)


def _case(
    candidates: dict[str, Candidate],
    graph_formats: Sequence[str],
    inputs: LayerInputs,
    lower_bound: LowerBound,
    difference: float,
    device: str,
    budget: TimeBudget,
) -> dict[str, Any]:
    start = time.perf_counter()
    as_timed = references.disagreement_as_timed(candidates, inputs)
    inference = time.perf_counter() - start
    same = difference <= TOLERANCE and as_timed <= TOLERANCE_TIMED
    rounds = 1 + MIN_ROUNDS  # with a first call of each step
    expected_seconds = inference * (rounds * (1 + TRAINING) + TRAINING)  # and a training step for memory
    case: dict[str, Any] = {"difference_float64": difference, "difference_as_timed": as_timed, "same": same}
    case["timed"] = same and expected_seconds <= budget.remaining
    if not case["timed"]:
        return case
    engines = [name for name in candidates if name not in graph_formats]
    for name, fraction in (("train", TRAINING / (1 + TRAINING)), ("infer", 1 / (1 + TRAINING))):
        steps: dict[str, Step] = {
            key: partial(getattr(candidate, name), inputs) for key, candidate in candidates.items()
        }
        steps["lower_bound"] = getattr(lower_bound, name)
        times = interleaved_timing(steps, device, budget.rounds, warm_up=1, time_limit=fraction * budget.seconds)
        best = min(graph_formats, key=lambda graph_format: statistics.median(times[graph_format]), default=None)
        case[name] = {
            "times": {key: summary(values) for key, values in times.items()},
            "best_format": best,
            "speedup": {} if best is None else {key: ratio(times, best, key) for key in engines},
            "times_lower_bound": {key: ratio(times, key, "lower_bound") for key in candidates},
        }
        if "edge_index" in graph_formats:
            by_edges = {key: ratio(times, "edge_index", key) for key in engines}
            case[name]["speedup_by_edges"] = by_edges
    peaks = {key: _training_memory(candidate, inputs, device) for key, candidate in candidates.items()}
    case["peak_bytes"] = peaks
    if "reference" in peaks:
        case["memory_relative_to_reference"] = {key: peak / peaks["reference"] for key, peak in peaks.items()}
    return case


def _training_memory(candidate: Candidate, inputs: Any, device: str) -> int:
    """Return the bytes that a training step needs in addition to weights, graph and input."""
    candidate.layer.zero_grad()
    inputs.x.grad = None
    return peak_memory(partial(candidate.train, inputs), device)


COLUMNS = ("step", "reference layer (CSR)")  # before engines and lower bound


def cells(case: dict[str, Any], engines: Sequence[str]) -> list[list[str]]:
    """Return the table rows of a case: training, inference and memory, or the reason why it was not timed."""
    if not case["timed"]:
        reason = "not enough time" if case["same"] else f"outputs differ: {_differences(case)}"
        return [["not timed", reason]]
    rows = []
    for name, label in (("train", "training, ms"), ("infer", "inference, ms")):
        times = {key: f"{value['median_ms']:.4g}" for key, value in case[name]["times"].items()}
        speedups, bounds = case[name]["speedup"], case[name]["times_lower_bound"]
        engine_cells = []
        for engine in engines:
            speedup = f"{speedups[engine]:.3g}x " if engine in speedups else ""
            engine_cells.append(f"{times[engine]} ({speedup}{bounds[engine]:.3g}b)" if engine in bounds else "")
        rows.append([label, _reference_cell(times), *engine_cells, times["lower_bound"]])
    megabytes = {key: f"{peak / 1e6:.4g}" for key, peak in case["peak_bytes"].items()}
    relative = {engine: f" ({ratio:.2f})" for engine, ratio in case.get("memory_relative_to_reference", {}).items()}
    engine_cells = [megabytes.get(engine, "") + relative.get(engine, "") for engine in engines]
    rows.append(["memory, MB", _reference_cell(megabytes), *engine_cells, ""])
    return rows


def _differences(case: dict[str, Any]) -> str:
    return f"{case['difference_float64']:.0e} in float64, {case['difference_as_timed']:.0e} as timed"


def _reference_cell(texts: dict[str, str]) -> str:
    first = texts.get("edge_index", texts.get("torch", ""))
    return f"{first} ({texts['csr']})" if "csr" in texts else first
