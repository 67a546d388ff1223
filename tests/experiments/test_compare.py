
import pytest
import torch

from seqgnn.experiments import ModelSpec, training_for
from seqgnn.experiments.runs import config as runs
from seqgnn.experiments.runs import result as run_results
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from seqgnn.metrics.significance import mean_sd
from seqgnn.models import sequence_model as models
from seqgnn.report import tables as report
from tests.support.comparisons import TINY, plan_grid, run_grid, tiny


def results(comparison):
    records = comparison.runs | {(*key, None): record for key, record in comparison.baselines.items()}
    return {key: record.result for key, record in records.items()}


def test_compare_rows_equal_scores_and_sizes_of_runs():
    comparison = tiny(seeds=[0, 1], sizes=[4, 5])
    rows = comparison.rows()
    assert [(row.size, row.model) for row in rows] == [
        (length, name) for length in (4, 5) for name in ("RNN", "GCN", "chance", "majority", "linear")
    ]
    scores = [comparison.runs["RNN", 4, seed].result.test.values["accuracy"] for seed in (0, 1)]
    assert (rows[0].mean("accuracy"), rows[0].sd("accuracy")) == mean_sd(scores) and scores[0] != scores[1]
    assert rows[0].steps == 6 and rows[0].seeds == 2 and rows[0].solved == 0
    assert rows[0].parameters == 8 * 10 + 8 * 8 + 2 * 8 + 8 * 10 + 10
    assert rows[0].receptive_field is None and rows[1].receptive_field == 4  # two layers with hops 1 and 2
    assert rows[2].mean("accuracy") == 0.1 and rows[4].mean("accuracy") == 1.0
    run = comparison.runs["RNN", 4, 0]
    assert len(run.result.losses) == 6 and [point.step for point in run.result.validation] == [3, 6]
    assert run.result.test.count == 8192
    assert run.measured.threads == 1 and run.measured.versions["torch"] == torch.__version__


def test_compare_repeated_or_in_two_processes_is_equal():
    threads = torch.get_num_threads()
    one, again = tiny(seeds=[0, 1]), tiny(seeds=[0, 1])
    apart = tiny(seeds=[0, 1], jobs=2)
    assert results(one) == results(again) == results(apart)
    assert torch.get_num_threads() == threads


def test_compare_again_does_not_repeat_stored_runs(tmp_path, monkeypatch):
    first = tiny(out=tmp_path)
    files = {path: path.read_bytes() for path in (tmp_path / "runs").iterdir()}
    assert sorted(path.suffix for path in files) == 5 * [".json"] + 2 * [".safetensors"]
    made = []
    perform = RunConfig.perform
    monkeypatch.setattr(RunConfig, "perform", lambda *a: made.append(a[0].seed) or perform(*a))
    again = tiny(out=tmp_path)
    assert made == [] and results(again) == results(first)
    more = tiny(out=tmp_path, seeds=[0, 7], models=["rnn", "gcn", "lstm"])
    assert sorted(made) == [0, 7, 7, 7]
    assert all(path.read_bytes() == content for path, content in files.items())
    assert more.runs["RNN", 4, 0] == again.runs["RNN", 4, 0] == first.runs["RNN", 4, 0]


def test_compare_interrupted_preserves_finished_runs(tmp_path, monkeypatch):
    perform = RunConfig.perform

    def interrupted(config, *rest):
        if config.model == "rnn":
            raise KeyboardInterrupt
        return perform(config, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunConfig, "perform", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tiny(out=tmp_path)
    assert len(list((tmp_path / "runs").glob("*.json"))) == 1  # the GCN's: rows run last to first
    assert results(tiny(out=tmp_path)) == results(tiny())


def test_compare_failed_run_does_not_lose_other_runs(tmp_path, monkeypatch):
    build = models.build

    def broken(name, *arguments, **options):
        if name == "gcn":
            raise RuntimeError("no\nluck")
        return build(name, *arguments, **options)

    monkeypatch.setattr(runs.models, "build", broken)
    comparison = tiny(out=tmp_path)
    assert comparison.failures == {("GCN", 4, 0): "RuntimeError: no luck"}
    row = comparison.rows()[1]
    assert (row.model, row.failed, row.mean("accuracy")) == ("GCN", 1, None)
    assert comparison.scores("RNN", 4) and comparison.scores("GCN", 4) == []
    monkeypatch.undo()
    assert tiny(out=tmp_path).failures == {}


def test_compare_damaged_run_raises_before_training(tmp_path, monkeypatch):
    tiny(out=tmp_path)
    victim = next((tmp_path / "runs").glob("*.json"))
    victim.write_text("{")
    monkeypatch.setattr(RunConfig, "perform", None)
    with pytest.raises(ValueError, match=victim.name):
        tiny(out=tmp_path)
    assert victim.read_text() == "{"


def configs(task, **changes):
    """The configurations of a comparison, by label, without running anything."""
    planned = {}

    def perform(config, *rest):
        planned[config.model, config.readout, config.hops] = config
        raise RuntimeError("planned only")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunConfig, "perform", perform)
        patch.setattr(runs.BaselineConfig, "perform", perform)
        run_grid(task, **{"seeds": [0], "progress": False, **changes})
    return planned


def test_compare_default_models_have_expected_layers(monkeypatch):
    monkeypatch.setattr(runs.BaselineConfig, "model", "baseline", raising=False)
    monkeypatch.setattr(runs.BaselineConfig, "readout", None, raising=False)
    monkeypatch.setattr(runs.BaselineConfig, "hops", None, raising=False)
    planned = configs("palindromes", sizes=[20])
    powers = (1, 2, 4, 8, 16)
    assert planned["gcn", "last", powers].num_layers == planned["gcn", "last", (1,)].num_layers == 5
    assert ("gcn", "mean", powers) in planned
    left_out = {"gcn-residual", "mingru", "minlstm", "gcn-in-mingru", "gcn-in-minlstm"}
    assert {key[0] for key in planned} == {*models.NAMES, "baseline"} - left_out
    assert {"mingru", "minlstm"} <= {key[0] for key in configs("adding", sizes=[20])}
    assert all(readout == "last" for name, readout, hops in planned if name not in ("gcn", "baseline"))
    trees = configs("trees", sizes=[16])
    depth = SEQUENCE_TASKS["trees"](16, (1,), None).depth
    assert trees["gcn", "mean", (1,)].num_layers == depth > 1
    assert trees["lstm", "mean", (1,)].num_layers == 1


def test_compare_lr_is_set_by_size_or_by_row():
    rows = ["rnn", ModelSpec("slow RNN", "rnn", init=("identity",), lr=1e-4)]
    comparison = tiny(models=rows, sizes=[4, 5], lr={4: 0.01, 5: 0.02}, steps=1)
    rates = {key[:2]: record.config.train.lr for key, record in comparison.runs.items()}
    assert rates == {("RNN", 4): 0.01, ("RNN", 5): 0.02, ("slow RNN", 4): 1e-4, ("slow RNN", 5): 1e-4}
    short = tiny(models=["rnn", ModelSpec("short LSTM", "lstm", longest=4)], sizes=[4, 5], steps=1)
    assert [(row.model, row.size) for row in short.rows() if row.kind == "model"] == [
        ("RNN", 4), ("short LSTM", 4), ("RNN", 5)
    ]  # fmt: skip
    assert tiny(lr=0.5, steps=1).runs["RNN", 4, 0].config.train.lr == 0.5


def test_compare_match_parameters_gives_similar_counts():
    comparison = tiny(models=["rnn", "lstm", "gru", "gcn"], hidden=24, match_parameters=True, steps=1)
    counts = [row.parameters for row in comparison.rows() if row.kind == "model"]
    assert max(counts) / min(counts) < 1.1 and comparison.matched
    assert len(set(counts)) > 1


def test_compare_text_is_identified_by_its_content(tmp_path):
    options = {**TINY, "models": ["rnn"], "sizes": [5], "steps": 2}
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "verse.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    out = tmp_path / "out"
    first = run_grid("text", data=tmp_path / "here" / "verse.txt", out=out, **options)
    count = len(list((out / "runs").iterdir()))
    again = run_grid("text", data=tmp_path / "there" / "verse.txt", out=out, **options)
    assert results(first) == results(again) and len(list((out / "runs").iterdir())) == count
    assert first.data_id.startswith("verse.txt (") and str(tmp_path) not in str(first.rows()) + first.data_id
    (tmp_path / "there" / "verse.txt").write_text("another text altogether, and a longer one. " * 40)
    other = run_grid("text", data=tmp_path / "there" / "verse.txt", out=out, **options)
    assert other.data_id != first.data_id and results(other) != results(first)
    assert [row.model for row in first.rows()] == ["RNN", "chance", "majority", "bigram", "ngram-5"]
    assert first.metric == "loss" and first.scores("RNN", 5)[0] == first.rows()[0].mean("loss")
    assert "pydoc topics of Python" in runs.identify_text(None)


@pytest.mark.parametrize(
    "look", [lambda task: task.test(4), lambda task: task.test_ids, lambda task: task.streams("test", 1)]
)
def test_compare_test_set_used_before_selection_fails_the_run(monkeypatch, look):
    fit = run_results.fit

    def curious(model, task, config, **options):
        result = fit(model, task, config, **options)
        look(task)
        return result

    monkeypatch.setattr(run_results, "fit", curious)
    found = tiny(models=["rnn"])
    assert (
        "expected no use of the test set before open(), got FirstDigitRecall."
        in found.failures["RNN", 4, 0]
    )


def test_compare_max_seconds_ends_runs_and_adds_a_note():
    found = tiny(models=["rnn", "gcn"], steps=10**6, max_seconds=0.3, eval_every=10**6, target_accuracy=None)
    for run in found.runs.values():
        assert run.result.stopped == "time" and 0.3 <= run.measured.seconds < 5
        assert len(run.measured.validation_seconds) == 1 and run.result.steps > 3
    assert any(note.text.startswith("Equal training time: the number of steps") for note in report.notes(found))


def test_compare_max_seconds_without_steps_ends_the_run_by_time():
    (config, *_) = [job.config for job in plan_grid("recall", models=["rnn"], seeds=[0], max_seconds=2.0).jobs]
    assert config.train.steps is None and config.estimate(None) == 2.0
    options = {
        "models": ["rnn"],
        "batch_size": 1,
        "hidden": 2,
        "eval_every": 10**6,
        "target_accuracy": None,
        "sizes": [3],
    }
    (run,) = tiny(steps=None, max_seconds=0.3, **options).runs.values()
    assert run.result.stopped == "time" and run.config.train.steps is None
    assert run.result.steps == len(run.result.losses) and run.measured.seconds >= 0.3
    both = plan_grid("recall", models=["rnn"], seeds=[0], steps=5, max_seconds=1e6).jobs[0].config
    assert both.train.steps == 5 and both.estimate(None) < 1e3


def test_compare_rows_contain_flops_and_peak_memory():
    comparison = tiny(models=["lstm"], seeds=[0, 1])
    row, peaks = comparison.rows()[0], [run.measured.peak_memory for run in comparison.runs.values()]
    digits, n = 3, TINY["hidden"]
    assert row.flops == 2 * (digits * 4 * n * (10 + n) + 10 * n)
    assert row.peak_memory == max((peak for peak in peaks if peak), default=None)
    assert row.solved_steps is None
    assert tiny(models=["lstm"]).rows()[0].as_dict()["accuracy_t_low"] is None  # of one seed


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("palindrome", {}, "did you mean 'palindromes'"),
        ("forecast", {}, r"expected data for 'forecast' \(--data\), a file or a name"),
        ("recall", {"models": ["lstn"]}, "did you mean 'lstm'"),
        ("recall", {"models": []}, "one or more models"),
        ("recall", {"models": ["rnn", "rnn"]}, "each once"),
        ("recall", {"models": [ModelSpec("mine", "transformer")]}, "the model of row 'mine'"),
        ("recall", {"sizes": [1]}, "sizes to be distinct integers of at least 2"),
        ("recall", {"sizes": [10, 10]}, "distinct integers"),
        ("recall", {"sizes": [2.5]}, "distinct integers"),
        ("recall", {"seeds": []}, "seeds"),
        ("recall", {"seeds": [-1]}, "seeds"),
        ("recall", {"hidden": 0}, "hidden"),
        ("recall", {"window": 0}, "window"),
        ("recall", {"steps": 0}, "TrainConfig: expected steps"),
        ("recall", {"jobs": 0}, "jobs"),
        ("recall", {"refit": True}, "expected no refit for task 'recall', got True"),
        ("recall", {"lags": 3}, "expected no protocol for task 'recall', got Protocol"),
        ("recall", {"lr": {10: 1e-3}, "sizes": [10, 20]}, "a learning rate for each"),
        ("recall", {"device": "cuda:99"}, "a device that this torch can use, got 'cuda:99'"),
        ("recall", {"device": "gpu"}, "got 'gpu'"),
        ("recall", {"data": "x.txt"}, "task 'recall' generates its own samples; remove the data .got x.txt"),
        ("text", {"data": "/nowhere/x.txt"}, "a readable text file"),
    ],
)
def test_compare_invalid_arguments_raise_value_error(task, changes, message):
    with pytest.raises(ValueError, match=message):
        run_grid(task, **changes)


def test_compare_unwritable_out_folder_raises_value_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="writable folder"):
        tiny(out=tmp_path / "file")


@pytest.mark.gpu
def test_compare_on_gpu_has_scores_close_to_cpu():
    scores = [tiny(models=["lstm", "gcn-in-lstm"], steps=60, device=device) for device in ("cpu", "cuda")]
    for label in scores[0].labels:
        assert scores[0].scores(label, 4) == pytest.approx(scores[1].scores(label, 4), abs=0.02)


def test_training_for_unknown_field_suggests_closest_name():
    with pytest.raises(ValueError, match="did you mean 'momentum'"):
        training_for("recall", momentun=0.5)


@pytest.mark.slow
def test_compare_rnns_solve_palindromes_of_ten_digits():
    comparison = run_grid("palindromes", models=["rnn", "lstm", "gru"], sizes=[10], progress=False, jobs=-1)
    assert all(score >= 0.99 for label in comparison.labels for score in comparison.scores(label, 10))


@pytest.mark.slow
def test_compare_lstm_and_gru_solve_twenty_digits_within_the_default_steps():
    comparison = run_grid("palindromes", models=["lstm", "gru", "gcn", "gcn-1hop"], sizes=[20], seeds=[0], jobs=-1)
    stopped = {key[0]: run.result.stopped for key, run in comparison.runs.items()}
    assert stopped == {"LSTM": "solved", "GRU": "solved", "GCN": "solved", "GCN, one hop": "steps"}
