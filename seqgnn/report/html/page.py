"""One self-contained HTML page over comparisons: tables, figures, inspected models, and how to reproduce it."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import seqgnn
from seqgnn._utils.files import write_atomically
from seqgnn._utils.text import listed
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import ranked
from seqgnn.experiments.results.views import seed_rows
from seqgnn.experiments.runs.problem import SequenceProblem
from seqgnn.experiments.trained.gradient_study import Study
from seqgnn.report.answer import answer
from seqgnn.report.footnotes import excluded_note, notes
from seqgnn.report.gradients import position_note, verdicts
from seqgnn.report.html import oversmoothing as smoothing
from seqgnn.report.html.commands import folder, reproduction_commands
from seqgnn.report.html.figures import (
    MOST,
    curves_legend,
    curves_page_figures,
    scores_page_figures,
    smoothing_page_figure,
    solved_page_figures,
    study_page_figures,
)
from seqgnn.report.html.forecasts import forecasts_page_figures
from seqgnn.report.html.model_inspection import TEMPERATURE, ModelInspection, inspect_models
from seqgnn.report.html.summary import missing_lines, question
from seqgnn.report.html.svg import DARK, LIGHT, colors
from seqgnn.report.html.tables import (
    configuration,
    differences,
    files,
    machines,
    receptive_fields,
    scores,
    solved,
    windows,
)
from seqgnn.report.plots.comparison import curve_rows, row_id
from seqgnn.report.tables import by_step, pairs, to_csv

SHOWN_ELSEWHERE = ("text", "excluded", "receptive field")  # topics of notes that are shown elsewhere on the page


def write_page(comparisons: Sequence[Comparison], path: str | os.PathLike[str], problems: Sequence[str] = ()) -> Path:
    """Write the page atomically; its folder is created if it does not exist.

    Args:
        comparisons: from `seqgnn.experiments.compare.compare` or `seqgnn.experiments.results.load.load_comparisons`.
        path: path of the file.
        problems: what was left out, and why, as returned by `load_comparisons`.

    Raises:
        ValueError: if the file cannot be written.
    """
    path, content = Path(path), render(comparisons, problems)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise ValueError(f"report: expected a writable file, got {path} ({error.strerror})") from error
    return path


def render(comparisons: Sequence[Comparison], problems: Sequence[str] = ()) -> str:
    """Return the page. It loads no external resources, and the same runs give the same page.

    Example:
        >>> from seqgnn.experiments.compare import compare
        >>> result = compare("recall", models=["rnn"], sizes=[3], seeds=[0], steps=2, hidden=4, progress=False)
        >>> "recall" in render([result])
        True
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("seqgnn.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = [_part(comparison.in_order(), f"c{number}") for number, comparison in enumerate(comparisons, start=1)]
    script = _asset("sort.js")
    body = environment.get_template("page.html").render(
        title=listed(list(dict.fromkeys(comparison.task for comparison in comparisons)) or ["no runs"]),
        parts=parts,
        problems=list(problems),
        version=seqgnn.__version__,
        style=_asset("style.css"),
        script=script,
        script_hash=_hash(script),
    )
    for mark, background in (("/* colors of figures */", LIGHT), ("/* colors of figures, dark */", DARK)):
        body = body.replace(mark, colors(body, background), 1)
    return body


def _part(comparison: Comparison, name: str) -> dict[str, Any]:
    """Return the variables of the template for one comparison; empty figures and sections are None."""
    inspection = inspect_models(comparison)
    longest = max((size for _, size, _ in comparison.runs), default=None)
    best = next((label for label, _ in ranked(comparison, longest)), None) if longest is not None else None
    energy_curves = smoothing.smoothing(comparison, inspection)
    sentences = [f"{label}: {smoothing.verdict(energies)}." for label, energies in energy_curves.energies.items()]
    lines, table = comparison.rows(), f"{name}-scores"
    scores_ids = [f"{table}-{row_id(comparison, row.model, row.size)}" for row in lines]
    wide, narrow = scores_page_figures(comparison, f"{name}-scores-figure", table)
    difference_table = None if best is None or longest is None else differences(comparison, longest)
    return {
        "id": name,
        "task": comparison.task,
        "size_name": comparison.problem.size.name,
        "inspected": isinstance(comparison.problem, SequenceProblem),
        "at": None if longest is None else comparison.at(longest),
        "forecasts": forecasts_page_figures(comparison, f"{name}-forecast"),
        "question": question(comparison),
        "answer": answer(comparison),
        "scores": scores(comparison) if lines else None,
        "notes": [note.text for note in notes(comparison) if note.topic not in SHOWN_ELSEWHERE],
        "scores_wide": wide,
        "scores_narrow": narrow,
        "scores_ids": scores_ids,
        "downloads": downloads(comparison),
        "best": best,
        "longest": longest,
        "differences": difference_table,
        "windows": windows(comparison),
        "excluded": excluded_note(comparison),
        "files": files(comparison),
        "curves": curves_page_figures(comparison, f"{name}-curves", table),
        "curves_legend": curves_legend(comparison),
        "accuracy": comparison.metric == "accuracy",
        "solved": solved(comparison),
        "solved_figures": solved_page_figures(comparison, f"{name}-solved", table),
        "inspection": inspection,
        "gradients": _study(inspection.gradients, f"{name}-gradients", comparison),
        "no_gradients": _missing(inspection, "gradients"),
        "influence": _study(inspection.influence, f"{name}-influence", comparison),
        "no_influence": _missing(inspection, "influence"),
        "smoothing": smoothing_page_figure(energy_curves, f"{name}-smoothing", comparison, inspection),
        "smoothing_sentences": sentences,
        "no_smoothing": missing_lines(energy_curves.missing),
        "samples": inspection.samples,
        "no_samples": _missing(inspection, "samples"),
        "temperature": TEMPERATURE,
        "receptive_fields": receptive_fields(comparison, inspection),
        "configuration": configuration(comparison) if comparison.runs else None,
        "machines": machines(comparison),
        "reproduction": reproduction_commands(comparison),
        "folder": shlex.quote(folder(comparison)),
        "timed": any(run.config.train.max_seconds for run in comparison.runs.values()),
    }


def downloads(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the data of a comparison as CSV: the name of each file, and a link that contains it."""
    tables = (
        ("", [row.as_dict() for row in comparison.rows()]),
        ("-seeds", seed_rows(comparison)),
        ("-pairs", pairs(comparison)),
        ("-curves", curve_rows(comparison, MOST)),
        ("-ahead", by_step(comparison)),
    )
    head = "data:text/csv;charset=utf-8,"
    return [
        (f"{comparison.task}{name}.csv", head + quote(to_csv(comparison.task, lines), safe=","))
        for name, lines in tables
        if lines
    ]


def _study(study: Study | None, name: str, comparison: Comparison) -> dict[str, Any]:
    if study is None:
        return {"figures": [], "sentences": [], "reason": "", "position_note": ""}
    figures = study_page_figures(study, name, comparison)
    elements = max(curve.norms.size(1) for curves in study.panels.values() for curve in curves)
    reason = ""
    if not figures and elements < 2:
        reason = "A sequence has only one position here, so there are no distances to plot."
    elif not figures:
        reason = "All norms are zero, so there is nothing to plot."
    sentences = [] if elements < 2 else verdicts(study)
    return {"figures": figures, "sentences": sentences, "reason": reason, "position_note": position_note(study)}


def _missing(inspection: ModelInspection, measure: str) -> list[str]:
    if inspection.size is None:
        return ["No run is finished, so there is no trained model to inspect."]
    return missing_lines(inspection.missing[measure])


def _asset(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return the hash of the only script that the page allows to run."""
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
