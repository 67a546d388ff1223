"""A comparison as a table, a CSV file and figures."""

import csv
import io
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgnn.figures import GREY, STYLES, plain, save, style, tidy
from seqgnn.metrics import mean_sd, running_mean
from seqgnn.outcome import Comparison
from seqgnn.runs import TASKS
from seqgnn.store import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["STYLES", "curves_figure", "notes", "pairs", "scores_figure", "show", "style_of", "table", "to_csv", "write"]
STEP_TICKS = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
METRICS = {"accuracy": "test accuracy", "loss": "test loss (nats)"}
CURVES = {"accuracy": "training accuracy", "loss": "training loss (nats)"}


def write(comparison: Comparison, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes `<task>.csv`, `<task>-pairs.csv`, and `<task>-scores` and `<task>-curves` as PNG and SVG; returns their
    paths.

    A comparison without a single finished run has no figures, one without two seeds of two models no pairs.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, rows in (("", comparison.rows()), ("-pairs", pairs(comparison))):
        if rows:
            paths.append(folder / f"{comparison.task}{name}.csv")
            write_atomically(paths[-1], to_csv(comparison.task, rows))
    if comparison.runs:
        for name, figure in (("scores", scores_figure(comparison)), ("curves", curves_figure(comparison))):
            paths += save(figure, folder / f"{comparison.task}-{name}")
    return paths


def show(comparison: Comparison) -> None:
    """Prints the table and its notes."""
    from rich.console import Console

    # A width of its own where there is no terminal, so that no column is cut.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(comparison))
    for note in notes(comparison):
        console.print(note, markup=False, highlight=False)


def pairs(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns a dictionary per length and pair of models: their difference with its own 95% interval by Student's t,
    p of the sign-flip test, p corrected for the pairs of that length, and the least that this could have been."""
    return [
        {"length": length, "first": pair.first, "second": pair.second, f"{comparison.metric}_difference": pair.mean,
         "low": pair.interval[0], "high": pair.interval[1], "p": pair.p, "p_corrected": pair.corrected,
         "p_least": pair.least, "shown": pair.shown, "seeds": pair.seeds}
        for length in comparison.lengths
        for pair in comparison.differences(length)
    ]  # fmt: skip


def to_csv(task: str, rows: list[dict[str, Any]]) -> str:
    """Returns rows as CSV, the task before them; what has no figure is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["task", *rows[0]], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        known = {name: "" if value is None or value != value else value for name, value in row.items()}
        writer.writerow({"task": task} | known)
    return text.getvalue()


def table(comparison: Comparison) -> "Table":
    """Returns the comparison as a table for the terminal; `notes` belong below it."""
    from rich.markup import escape
    from rich.table import Table

    metrics = ["accuracy"] if comparison.metric == "accuracy" else ["loss", "accuracy"]
    view = Table(title=f"{comparison.task}: {METRICS[comparison.metric]}, {seeds_of(comparison)}")
    view.add_column("T", justify="right")
    view.add_column("model")
    for name in (*metrics, "steps", "seconds", "parameters", "kFLOP", "MB", "hears"):
        view.add_column(name, justify="right")
    length = None
    for row in comparison.rows():
        if length not in (None, row["length"]):
            view.add_section()
        length = row["length"]
        if row["kind"] == "baseline":
            scores = [_number(row[name], 3) for name in metrics]
            view.add_row(str(length), escape(row["model"]), *scores, "", _number(row["seconds"], 1), style="dim")
            continue
        cells = [_spread(row[name], row[f"{name}_sd"]) for name in metrics]
        if row["failed"]:
            cells[0] = f"{cells[0]} ({row['failed']} failed)".strip()
        hears = _number(row["reach"], 0)
        if row["seeds"] and (row["reach"] is None or row["reach"] >= comparison.elements.get(length, length) - 1):
            hears = "all"
        parameters = "" if row["parameters"] is None else f"{row['parameters']:,}"
        flops, memory = (None if row[n] is None else row[n] / u for n, u in (("flops", 1e3), ("peak_memory", 1e6)))
        others = (_number(row["steps"], 0), _number(row["seconds"], 1), parameters, _number(flops, 0),
                  _number(memory, 0), hears)  # fmt: skip
        view.add_row(str(length), escape(row["model"]), *cells, *others)
    return view


def notes(comparison: Comparison) -> list[str]:
    """Returns what a reader of the table has to know."""
    found = []
    if comparison.text is not None:
        found.append(f"Text: {comparison.text}.")
    rows = [row for row in comparison.rows() if row["parameters"]]
    counts = [row["parameters"] for row in rows]
    if len(counts) > 1:
        how = "Matched" if comparison.matched else "Not matched"
        found.append(
            f"{how} in parameters: the largest model has {max(counts) / min(counts):.2f} times the smallest's."
        )
    if any(row["flops"] for row in rows):
        found.append(
            "kFLOP: thousands of operations of matrix products and of sums along edges in one forward pass, a sample. "
            "MB: most memory in use, beyond what there was before the run."
        )
    if any(run["config"]["train"].get("seconds") for run in comparison.runs.values()):
        found.append("Equal time: how many steps fit into it depends on the machine, so these runs are not repeatable.")
    if any(row["reach"] is not None for row in rows):
        found.append("hears: how far the last element, or each node, hears everything.")
    if any(name == "bigram" for name, _ in comparison.baselines):
        found.append("bigram: interpolated with single frequencies, the weight chosen on validation.")
    if any(name.startswith("ngram") for name, _ in comparison.baselines):
        found.append("ngram-5: Witten-Bell, counted on the whole training part; it sees a window alone, as models do.")
    if any(name == "linear" for name, _ in comparison.baselines):
        found.append("linear: logistic regression on all elements, each in its place; it needs no memory.")
    if TASKS[comparison.task].on_path and any(row["readout"] in ("mean", "max") for row in rows):
        found.append("mean or max readout: sees every element at once, so its row says nothing about memory.")
    versions = {str(run["measured"].get("versions")) for run in comparison.runs.values()}
    if len(versions) > 1:
        found.append("Versions: the runs were made with different versions of Python, torch, PyG or seqgnn.")
    for length in comparison.lengths:
        found += _differences(comparison, length)
    for (label, length, seed), message in comparison.failures.items():
        found.append(f"FAILED: {label}, T={length}, seed {seed}: {message}")
    return found


def _differences(comparison: Comparison, length: int, most: int = 5) -> list[str]:
    """In words, which rows differ and which were not shown to, at one length."""
    pairs = comparison.differences(length)
    if not pairs:
        return []
    shown = sorted((pair for pair in pairs if pair.shown), key=lambda pair: -abs(pair.mean))
    found = [f"T={length}: {pair}" for pair in shown[:most]]
    if len(shown) > most:
        found.append(f"T={length}: {len(shown) - most} further pairs differ.")
    rest = [pair for pair in pairs if not pair.shown]
    if rest:
        few = sum(not pair.testable for pair in rest)
        hint = "" if not few else "; with so few seeds a sign-flip test cannot show one"
        hint = (
            hint if few in (0, len(rest)) else f"; {few} of these have too few seeds for a sign-flip test to show one"
        )
        names = f"{len(rest)} of {len(pairs)} pairs of rows" if len(pairs) > 1 else "the two rows"
        found.append(f"T={length}: no difference shown between {names}{hint}.")
    return found


def scores_figure(comparison: Comparison) -> Any:
    """Returns a matplotlib figure: the headline score against length, or, for one length, a line for each model."""
    return _against_length(comparison) if len(comparison.lengths) > 1 else _one_length(comparison)


def curves_figure(comparison: Comparison) -> Any:
    """Returns a matplotlib figure: training curves as running means over 21 steps, a line a seed, a panel a length."""
    from matplotlib.figure import Figure

    lengths = sorted(comparison.lengths)
    figure = Figure(figsize=(min(4.2 * len(lengths), 12.6) + 1.9, 3.9), layout="constrained")
    panels = figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
    for panel, length in zip(panels, lengths):
        draw_curves(panel, comparison, length)
        panel.set_title(f"T = {length}", fontsize=10)
    panels[0].set_ylabel(CURVES[comparison.metric])
    _chance(panels, comparison)
    _legend(figure, comparison, markers=False)
    figure.suptitle(f"{comparison.task}: training curves, running mean of 21 steps, one line a seed", fontsize=11)
    return figure


def draw_curves(panel: Any, comparison: Comparison, length: int, most: int | None = None) -> None:
    """Draws the training curves of one length, each of `most` points at most, which are closest at the beginning."""
    from matplotlib.ticker import NullLocator

    longest = 1
    for label in comparison.labels:
        color, _, line = style_of(label, comparison)
        for run in comparison.of(label, length):
            curve = running_mean(run["result"]["accuracies" if comparison.metric == "accuracy" else "losses"])
            steps = _steps(len(curve), most)
            panel.plot(steps, [curve[step - 1] for step in steps], line, color=color, linewidth=1.3, alpha=0.9)
            panel.plot(len(curve), curve[-1], "o", color=color, markersize=3.5)
            longest = max(longest, len(curve))
    panel.set_xscale("log")
    panel.set_xlim(min(10, longest / 2), longest * 1.2)
    panel.set_xticks([s for s in STEP_TICKS if min(10, longest / 2) <= s <= longest * 1.2], minor=False)
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("step")
    if comparison.metric == "accuracy":
        panel.set_ylim(-0.02, 1.04)
    tidy(panel)


def _steps(count: int, most: int | None) -> list[int]:
    """The steps from 1 to `count`, or `most` of them, evenly spread on a logarithmic axis."""
    if most is None or count <= most:
        return list(range(1, count + 1))
    return sorted({round(count ** (place / (most - 1))) for place in range(most)})


def style_of(label: str, comparison: Comparison) -> tuple[str, str, str]:
    """Returns colour, marker and line of a row, see `seqgnn.figures.style`."""
    return style(label, comparison.labels)


def _against_length(comparison: Comparison) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    draw_against_length(figure.subplots(), comparison)
    _legend(figure, comparison, markers=True)
    figure.suptitle(f"{comparison.task}: {METRICS[comparison.metric]}, {seeds_of(comparison)}", fontsize=11)
    return figure


def draw_against_length(panel: Any, comparison: Comparison) -> None:
    """Draws the headline score against length, with what chance gives."""
    lengths = sorted(comparison.lengths)
    for place, label in enumerate(comparison.labels):
        color, marker, line = style_of(label, comparison)
        # A little apart, so that equal scores do not hide each other.
        shift = min(0.05, 0.3 / len(comparison.labels)) * (place - (len(comparison.labels) - 1) / 2)
        shown = [(i + shift, scores) for i, n in enumerate(lengths) if (scores := comparison.scores(label, n))]
        if not shown:
            continue
        x, means = [x for x, _ in shown], [mean_sd(scores)[0] for _, scores in shown]
        spreads = list(zip(*(_spread_within_range(scores, comparison.metric) for _, scores in shown)))
        panel.errorbar(x, means, spreads, fmt=marker + line, color=color, markersize=6, linewidth=1.5, capsize=3)
        for place_of, scores in shown:
            panel.plot([place_of] * len(scores), scores, "_", color=color, markersize=9, alpha=0.6)
    panel.set_xticks(range(len(lengths)), [str(length) for length in lengths])
    panel.set_xlim(-0.4, len(lengths) - 0.6)
    panel.set_xlabel("length T")
    panel.set_ylabel(METRICS[comparison.metric])
    if comparison.metric == "accuracy":
        panel.set_ylim(-0.02, 1.04)
    tidy(panel)
    _chance([panel], comparison)


def _one_length(comparison: Comparison) -> Any:
    from matplotlib.figure import Figure

    length = comparison.lengths[0]
    names = [name for name, _ in comparison.baselines]
    labels = [label for label in comparison.labels if comparison.scores(label, length)]
    figure = Figure(figsize=(7.6, 1.2 + 0.36 * (len(labels) + len(names))), layout="constrained")
    draw_one_length(figure.subplots(), comparison)
    what = f"{METRICS[comparison.metric]}, {seeds_of(comparison)}"
    figure.suptitle(f"{comparison.task}, T = {length}: {what}", fontsize=11)
    return figure


def draw_one_length(panel: Any, comparison: Comparison) -> None:
    """Draws the headline scores at the only length, models and then baselines, a line for each."""
    length = comparison.lengths[0]
    labels = [label for label in comparison.labels if comparison.scores(label, length)]
    names = [name for name, _ in comparison.baselines]
    for place, label in enumerate(labels):
        color, marker, _ = style_of(label, comparison)
        scores = comparison.scores(label, length)
        mean, sd = mean_sd(scores)
        panel.errorbar(
            mean, place, xerr=None if math.isnan(sd) else sd, fmt=marker, color=color, markersize=7, capsize=3
        )
        panel.annotate(f"{mean:.3f}", (mean, place), (10, 5), textcoords="offset points", fontsize=8)
    for place, name in enumerate(names, start=len(labels)):
        score = comparison.baselines[name, length]["result"]["test"][comparison.metric]
        panel.plot(score, place, "|", color=GREY, markersize=14, markeredgewidth=2)
        panel.annotate(f"{score:.3f}", (score, place), (10, 5), textcoords="offset points", fontsize=8, color=GREY)
    panel.set_yticks(range(len(labels) + len(names)), [plain(name) for name in labels + names])
    panel.invert_yaxis()
    panel.margins(x=0.12)
    panel.set_xlabel(METRICS[comparison.metric])
    tidy(panel, axis="x")


def _spread_within_range(scores: list[float], metric: str) -> tuple[float, float]:
    """Returns the standard deviation down and up; a bar never leaves the range that the score can have."""
    mean, sd = mean_sd(scores)
    sd = 0.0 if math.isnan(sd) else sd
    return min(sd, mean), min(sd, 1 - mean) if metric == "accuracy" else sd


def seeds_of(comparison: Comparison) -> str:
    """What stands behind each figure, in words."""
    count = len(comparison.seeds)
    return "one seed" if count == 1 else f"mean ± sd over {count} seeds"


def _chance(panels: Any, comparison: Comparison) -> None:
    chance = [run for (name, _), run in comparison.baselines.items() if name == "chance"]
    if chance and comparison.metric == "accuracy":
        level = chance[0]["result"]["test"]["accuracy"]
        for panel in panels:
            panel.axhline(level, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        panels[0].annotate(
            "chance",
            (0, level),
            (4, -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8,
            color=GREY,
            verticalalignment="top",
        )


def _legend(figure: Any, comparison: Comparison, markers: bool) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for label in comparison.labels:
        color, marker, line = style_of(label, comparison)
        shape = marker if markers else "none"
        handles.append(Line2D([], [], color=color, marker=shape, linestyle=line, linewidth=1.5, label=plain(label)))
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _spread(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.3f}" if sd is None or math.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"
