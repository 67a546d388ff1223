"""Interleaved timing of candidates, ratios of their times, their peak memory, and the machine's peak rates."""

import itertools
import math
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import torch
import torch_geometric
from torch.autograd.profiler import profile

import seqgnn
from seqgnn.profile.resources import PeakMemory

Step = Callable[[], object]
MIN_ROUNDS = 3  # fewer rounds have no meaningful median


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(step: Step, repeats: int, device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the mean time of a step over `repeats` consecutive calls."""
    synchronize(device)
    start = clock()
    for _ in range(repeats):
        step()
    synchronize(device)
    return (clock() - start) / repeats


def interleaved_timing(
    steps: dict[str, Step],
    device: str,
    rounds: int,
    min_seconds: float = 0.02,
    warm_up: int = 3,
    time_limit: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return milliseconds per call of each candidate in each round.

    Candidates take turns, so that other load on the machine affects all of them alike. The order is random in each
    round: a fixed predecessor could make a candidate faster or slower.

    Args:
        steps: candidates by name.
        device: "cpu" or "cuda".
        rounds: maximum number of rounds.
        min_seconds: a turn repeats its step until it takes about this long.
        warm_up: further calls before the first round; none for steps longer than ten turns.
        time_limit: no round starts after this many seconds, except the first `MIN_ROUNDS`.
        clock: what measures a turn, such as :func:`time.process_time` for CPU time.
    """
    start, repeats = time.perf_counter(), {}
    for name, step in steps.items():
        step_seconds = seconds(step, 1, device)
        if step_seconds < 10 * min_seconds:
            seconds(step, warm_up, device)
            step_seconds = seconds(step, 1, device)
        repeats[name] = max(1, round(min_seconds / step_seconds))
    times: dict[str, list[float]] = {name: [] for name in steps}
    orders = random.Random(0)
    for turn in range(rounds):
        if turn >= MIN_ROUNDS and time.perf_counter() - start > time_limit:
            break
        for name in orders.sample(list(steps), len(steps)):
            times[name].append(1e3 * seconds(steps[name], repeats[name], device, clock))
    return times


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
    return statistics.median(a / b for a, b in zip(times[slow], times[fast]))


def summary(times: list[float]) -> dict[str, float]:
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def peak_memory(step: Step, device: str) -> int:
    """Return the peak of bytes in tensors that a step allocates.

    On the CPU it is computed from the allocations recorded by torch's profiler; the resident memory of the process can
    be half as much again and varies from step to step with malloc's layout.
    """
    if device == "cuda":
        memory = PeakMemory(device)
        step()
        return memory.read() or 0
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # no log lines at start and end
    with profile(profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


def rates(device: str) -> dict[str, float]:
    """Return the machine's rates of float32 matrix products and memory copies (bytes read and written both count)."""
    a = torch.randn(2048, 2048, device=device)
    source, target = torch.ones(2, 1 << 26, device=device)  # ones: untouched pages would all map to one zero page
    product = interleaved_timing({"gemm": lambda: a @ a, "copy": lambda: target.copy_(source)}, device, 7)
    gemm = 2 * 2048**3 / (1e6 * min(product["gemm"]))
    return {"gemm_gflop_per_s": gemm, "copy_gb_per_s": 2 * 4 * (1 << 26) / (1e6 * min(product["copy"]))}


def machine(device: str) -> dict[str, object]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    description: dict[str, object] = {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    description["system"] = platform.system()
    if device == "cuda":
        description["gpu"] = torch.cuda.get_device_name()
    return description


def versions() -> dict[str, str]:
    packages = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "seqgnn": seqgnn.__version__,
    }
    with suppress(metadata.PackageNotFoundError):
        packages["torch_geometric_temporal"] = metadata.version("torch-geometric-temporal")
    return packages
