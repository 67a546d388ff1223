"""The tasks of a comparison: their words, sizes and data."""

from dataclasses import asdict

import pytest

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.runs.config import BaselineConfig, RunConfig, identify_text
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.problem import METRICS, PROBLEMS, ForecastProblem, SequenceProblem, read_config
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from tests.support.comparisons import baseline, run
from tests.support.stored_runs import run_of, write_signal


def test_problems_are_the_sequence_tasks_and_the_forecast():
    assert {name for name, problem in PROBLEMS.items() if isinstance(problem, SequenceProblem)} == set(SEQUENCE_TASKS)
    assert [name for name, problem in PROBLEMS.items() if isinstance(problem, ForecastProblem)] == ["forecast"]
    assert all(problem.task == name and problem.metric in problem.metrics for name, problem in PROBLEMS.items())
    assert {name for problem in PROBLEMS.values() for name in problem.metrics} == set(METRICS)
    assert [name for name, metric in METRICS.items() if metric.higher_is_better] == ["accuracy"]


@pytest.mark.parametrize("task", SEQUENCE_TASKS)
def test_problem_makes_tasks_of_its_name_at_its_sizes(task):
    problem = PROBLEMS[task]
    made = problem.make(problem.sizes[0])
    assert (made.name, made.length) == (task, problem.sizes[0])
    assert problem.readout == made.readout
    assert problem.sequential == (task not in ("expressions", "trees"))


@pytest.mark.parametrize(
    "task, size, number", [("recall", 6, 5), ("palindromes", 6, 5), ("text", 6, 6), ("trees", 16, 16), ("adding", 6, 6),
                               ("copying", 6, 26)]
)
def test_problem_num_elements_by_hand(task, size, number):
    assert PROBLEMS[task].num_elements(size) == number
    assert PROBLEMS["forecast"].num_elements(size) is None


def test_size_axis_in_words():
    recall, forecast = PROBLEMS["recall"].size, PROBLEMS["forecast"].size
    assert (recall.at(20), recall.all([20]), recall.all([10, 20])) == ("T = 20", "T = 20", "T = 10 and 20")
    assert (forecast.at(3), forecast.all([3]), forecast.all([3, 12])) == ("horizon 3", "horizon 3", "horizons 3 and 12")


def test_problem_finds_the_data_with_the_same_content(tmp_path):
    text, copy, other = (tmp_path / name for name in ("a.txt", "copy.txt", "b.txt"))
    for path, content in ((text, "abc"), (copy, "abc"), (other, "abd")):
        path.write_text(content)
    signal = write_signal(tmp_path)
    sources = [signal, DataSource(str(tmp_path / "nowhere.txt")), DataSource(str(other)), DataSource(str(text))]
    assert PROBLEMS["text"].find_data(identify_text(text), sources) == sources[-1]
    assert PROBLEMS["text"].find_data(identify_text(text), sources[:-1]) is None
    assert PROBLEMS["text"].find_data(identify_text(None), sources) is None
    assert PROBLEMS["recall"].find_data(None, sources) is None
    assert PROBLEMS["forecast"].find_data(signal.identity(), sources[::-1]) == signal
    assert PROBLEMS["forecast"].find_data("signal.csv (0123)", sources) is None


def test_read_config_returns_the_kind_of_run(tmp_path):
    forecast = run_of(write_signal(tmp_path))
    plain = ForecastBaseline("forecast", forecast.data_id, "mean", forecast.protocol, False)
    for config, kind in (
        (run(0.5).config, RunConfig), (baseline(0.5).config, BaselineConfig), (forecast, ForecastRun),
        (plain, ForecastBaseline),
    ):  # fmt: skip
        assert type(read_config(asdict(config))) is kind and read_config(asdict(config)) == config
    with pytest.raises(ValueError, match=r"read_config: expected task to be .*, got 'recal'; did you mean 'recall'"):
        read_config({"task": "recal"})
