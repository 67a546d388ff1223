"""One layer at one size: checked to compute what its peer does, then timed beside it and the floor, then its memory.

Peers run their best way: the graph normalized once where they can keep it, the windows of a batch as one graph, and,
where they take one, the graph as a CSR matrix as well as by its edges; a ratio is to the faster of both.
"""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqgnn.nn.recurrent.graph_rnn import ENGINES, GraphRecurrent
from seqgnn.profile import plain_layers as plain
from seqgnn.profile import reference_layers as peers
from seqgnn.profile.lower_bound import Floor, graph_floor, plain_floor
from seqgnn.profile.plain_layers import PlainSize, Sequences
from seqgnn.profile.reference_layers import TOLERANCE, TOLERANCE_TIMED, Contender, Peer, Problem, Signals, Size
from seqgnn.profile.timing import ENOUGH, Step, peak_memory, race, ratio, summary

TRAINING = 3.5  # training takes so many times as long as inference, about


@dataclass(frozen=True)
class Pace:
    """How long a case may take.

    Args:
        rounds: at most.
        share: seconds after which no further round begins, but for the first few.
        left: seconds in which these must find room, or the case is not timed.
    """

    rounds: int = 9
    share: float = math.inf
    left: float = math.inf


def engines_of(device: str) -> list[str]:
    """On the CPU Triton's kernels would be interpreted."""
    return [engine for engine in ENGINES if engine != "triton" or device == "cuda"]


def graph_case(peer: Peer, size: Size, device: str, engines: Sequence[str], pace: Pace) -> dict[str, Any]:
    """Times, ratios and memory of a graph-recurrent layer, unless it does not compute what its peer does.

    Where `timed` is false the case lacks them: the layers are not the `same`, or the time `left` does not suffice.
    """
    head = {"layer": peer.same, "peer": peer.name, "size": size}
    difference = peers.disagreement(peer, size, device, engines)
    problem = Problem(size, device)
    found = peers.contenders(peer, problem, engines)
    ours = found[engines[0]].layer
    assert isinstance(ours, GraphRecurrent)
    floor = graph_floor(ours, ours.prepare(problem.edge_index, problem.edge_weight, size[1]), size)
    return head | _case(found, peer.ways, problem, floor, difference, device, pace)


def plain_case(kind: str, size: PlainSize, device: str, engines: Sequence[str], pace: Pace) -> dict[str, Any]:
    """The same of "RNN", "LSTM" or "GRU" beside torch.nn's."""
    head = {"layer": kind, "peer": f"torch.nn.{kind}", "size": size}
    difference = plain.plain_disagreement(kind, size, device, engines)
    problem = Sequences(size, device)
    found = plain.plain_contenders(kind, problem, engines)
    return head | _case(found, ("torch",), problem, plain_floor(kind, size, problem.up), difference, device, pace)


def _case(
    found: dict[str, Contender],
    ways: Sequence[str],
    problem: Signals,
    floor: Floor,
    difference: float,
    device: str,
    pace: Pace,
) -> dict[str, Any]:
    start = time.perf_counter()
    as_timed = peers.disagreement_as_timed(found, problem)
    inference = time.perf_counter() - start
    same = difference <= TOLERANCE and as_timed <= TOLERANCE_TIMED
    needed = inference * ((1 + ENOUGH) * (1 + TRAINING) + TRAINING)  # with a first turn, and one for memory
    case: dict[str, Any] = {"difference_float64": difference, "difference_as_timed": as_timed, "same": same}
    case["timed"] = same and needed <= pace.left
    if not case["timed"]:
        return case
    engines = [name for name in found if name not in ways]
    for name, part in (("train", TRAINING / (1 + TRAINING)), ("infer", 1 / (1 + TRAINING))):
        steps: dict[str, Step] = {key: partial(getattr(each, name), problem) for key, each in found.items()}
        steps["floor"] = getattr(floor, name)
        times = race(steps, device, pace.rounds, warm_up=1, limit=part * pace.share)
        best = min(ways, key=lambda way: statistics.median(times[way]), default=None)
        case[name] = {
            "times": {key: summary(each) for key, each in times.items()},
            "best_way": best,
            "times_faster_than_peer": {} if best is None else {key: ratio(times, best, key) for key in engines},
            "times_the_floor": {key: ratio(times, key, "floor") for key in found},
        }
        if "edge_index" in ways:
            by_edges = {key: ratio(times, "edge_index", key) for key in engines}
            case[name]["times_faster_than_peer_by_edges"] = by_edges
    case["peak_bytes"] = peaks = {key: _training_memory(each, problem, device) for key, each in found.items()}
    if "reference" in peaks:
        case["memory_relative_to_reference"] = {key: peak / peaks["reference"] for key, peak in peaks.items()}
    return case


def _training_memory(contender: Contender, problem: Any, device: str) -> int:
    """Bytes that a training step needs on top of weights, graph and input."""
    contender.layer.zero_grad()
    problem.x.grad = None
    return peak_memory(partial(contender.train, problem), device)


COLUMNS = ("step", "peer (by CSR)")  # before engines and floor


def cells(case: dict[str, Any], engines: Sequence[str]) -> list[list[str]]:
    """What a table says of a case: training, inference and memory, or why not."""
    if not case["timed"]:
        why = "no time for it" if case["same"] else f"differs: {_differences(case)}"
        return [["not timed", why]]
    made = []
    for name, what in (("train", "training, ms"), ("infer", "inference, ms")):
        times = {key: f"{value['median_ms']:.4g}" for key, value in case[name]["times"].items()}
        faster, floors = case[name]["times_faster_than_peer"], case[name]["times_the_floor"]
        shown = []
        for engine in engines:
            against = f"{faster[engine]:.3g}x " if engine in faster else ""
            shown.append(f"{times[engine]} ({against}{floors[engine]:.3g}f)" if engine in floors else "")
        made.append([what, _of_peer(times), *shown, times["floor"]])
    megabytes = {key: f"{peak / 1e6:.4g}" for key, peak in case["peak_bytes"].items()}
    shares = case.get("memory_relative_to_reference", {})
    shown = [megabytes.get(engine, "") + (f" ({shares[engine]:.2f})" if engine in shares else "") for engine in engines]
    made.append(["memory, MB", _of_peer(megabytes), *shown, ""])
    return made


def _differences(case: dict[str, Any]) -> str:
    return f"{case['difference_float64']:.0e} in float64, {case['difference_as_timed']:.0e} as timed"


def _of_peer(shown: dict[str, str]) -> str:
    first = shown.get("edge_index", shown.get("torch", ""))
    return f"{first} ({shown['csr']})" if "csr" in shown else first
