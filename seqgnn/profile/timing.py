"""Candidates that take turns, ratios between their times, their memory, and what the machine can do."""

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
ENOUGH = 3  # rounds, of which a median says something


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(step: Step, repeats: int, device: str) -> float:
    """The mean time of a step over `repeats` in a row."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    synchronize(device)
    return (time.perf_counter() - start) / repeats


def race(
    steps: dict[str, Step],
    device: str,
    rounds: int,
    least: float = 0.02,
    warm_up: int = 3,
    limit: float = math.inf,
) -> dict[str, list[float]]:
    """Milliseconds of each contender in each round; a turn lasts at least `least` seconds.

    The order is drawn anew for each round, or whoever always follows the same other would gain or lose by it.

    Those that take ten turns at first are warm after it, others after `warm_up` steps more. Once `limit` seconds are
    over no round begins, but for the first `ENOUGH`.
    """
    start, repeats = time.perf_counter(), {}
    for name, step in steps.items():
        once = seconds(step, 1, device)
        if once < 10 * least:
            seconds(step, warm_up, device)
            once = seconds(step, 1, device)
        repeats[name] = max(1, round(least / once))
    times: dict[str, list[float]] = {name: [] for name in steps}
    orders = random.Random(0)
    for turn in range(rounds):
        if turn >= ENOUGH and time.perf_counter() - start > limit:
            break
        for name in orders.sample(list(steps), len(steps)):
            times[name].append(1e3 * seconds(steps[name], repeats[name], device))
    return times


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
    return statistics.median(a / b for a, b in zip(times[slow], times[fast]))


def summary(times: list[float]) -> dict[str, float]:
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def peak_memory(step: Step, device: str) -> int:
    """Bytes of tensors, beyond those there were before, that are alive at once in a step.

    On the CPU by the allocations that torch's profiler sees: what the process holds can be half as much again, and
    changes from step to step with how malloc happens to lay things out.
    """
    if device == "cuda":
        memory = PeakMemory(device)
        step()
        return memory.read() or 0
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or it says that it begins, and that it ends
    with profile(profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


def rates(device: str) -> dict[str, float]:
    """What the machine can do: float32 products, and copies of memory (read and written bytes both count)."""
    a = torch.randn(2048, 2048, device=device)
    source, target = torch.ones(2, 1 << 26, device=device)  # written, or reads would come from the one zero page
    product = race({"gemm": lambda: a @ a, "copy": lambda: target.copy_(source)}, device, 7)
    gemm = 2 * 2048**3 / (1e6 * min(product["gemm"]))
    return {"gemm_gflop_per_s": gemm, "copy_gb_per_s": 2 * 4 * (1 << 26) / (1e6 * min(product["copy"]))}


def machine(device: str) -> dict[str, object]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    about: dict[str, object] = {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    about["system"] = platform.system()
    if device == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
    return about


def versions() -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "seqgnn": seqgnn.__version__,
    }
    with suppress(metadata.PackageNotFoundError):
        found["torch_geometric_temporal"] = metadata.version("torch-geometric-temporal")
    return found
