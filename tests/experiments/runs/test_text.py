import json
import multiprocessing
import random
import time
from dataclasses import replace

import pytest
import torch

from seqgnn.experiments.runs import text as text_training
from seqgnn.experiments.runs.text import find_run, load_model, train_text
from seqgnn.experiments.runs.text_config import LoggingConfig, TextRun
from seqgnn.models import sequence_model as models
from seqgnn.models.generation import generate
from seqgnn.training.checkpoint import BEST, LAST, read_checkpoint, write_checkpoint
from seqgnn.training.loop import TrainConfig, evaluate

LOGGING = LoggingConfig(log_every=4, sample_every=8, save_every=2)


@pytest.fixture
def book(tmp_path):
    """A text with something to learn in it, of 3,000 characters."""
    words = ["the cat sat", "on a mat,", "and the dog", "ran off.\n"]
    chosen = random.Random(0).choices(words, k=400)
    path = tmp_path / "book.txt"
    path.write_text(" ".join(chosen)[:3000])
    return path


def tiny(book, steps=24, **changes):
    train = TrainConfig(
        steps=steps, batch_size=4, optimizer="adam", lr=0.02, schedule="cosine", eval_every=6, eval_batch_size=2,
        monitor="loss", stateful=True,
    )  # fmt: skip
    options = {"hidden": 8, "num_layers": 2, "dropout": 0.2}
    return replace(TextRun((str(book),), length=10, options=options, train=train), **changes)


def contents(folder):
    """Everything of a run that should not depend on interruptions."""
    files = {name: (folder / name).read_text() for name in ("samples.jsonl", "samples.md")}
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    timed = ("characters_per_second", "seconds")
    files["log"] = [{name: value for name, value in line.items() if name not in timed} for line in log]
    files["result"] = json.loads((folder / "result.json").read_text())["result"]
    for name in (LAST, BEST):
        tensors, info = read_checkpoint(folder / name)
        info["training"].pop("measured", None)  # seconds
        files[name] = info, {key: (t.dtype, t.shape, t.numpy().tobytes()) for key, t in tensors.items()}
    return files


def test_train_text_writes_logs_samples_result_and_checkpoints(book, tmp_path):
    out, lines = tmp_path / "run", []
    logging = LoggingConfig(log_every=50, sample_every=100)
    result = train_text(tiny(book, 200), out, logging=logging, on_line=lines.append)
    assert result.fit.stopped == "steps" and result.fit.steps == 200
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    first, last = log[0], log[-1]
    assert first["step"] == 6 and last["step"] == 200 and last["validation_loss"] < first["validation_loss"] - 0.3
    logged = [line for line in lines if "loss" in line]
    assert [line["step"] for line in logged] == [50, 100, 150, 200]
    assert logged[1]["loss"] == pytest.approx(sum(result.fit.losses[50:100]) / 50)
    samples = [line for line in lines if "how" in line]
    assert [(s["how"], s["length"]) for s in samples[:5]] == [
        ("greedy", 15), ("greedy", 30), ("greedy", 50), ("greedy", 100), ("temperature 0.5", 15)
    ]  # fmt: skip
    assert [s["step"] for s in samples] == [100] * 16 + [200] * 16
    assert all(len(s["text"]) == s["length"] for s in samples) and len(samples) == 2 * 4 * 4
    saved = json.loads((out / "result.json").read_text())
    assert saved["result"]["test"] == result.test and saved["result"]["steps"] == 200
    assert saved["measured"]["seconds"] > 0 and saved["text"] == "book.txt"
    stamp = (out / "result.json").stat().st_mtime_ns
    assert train_text(tiny(book, 200), out, logging=logging).test == result.test  # nothing left to do
    assert (out / "result.json").stat().st_mtime_ns == stamp

    model, vocabulary, info = load_model(out)
    assert info["training"]["step"] == result.fit.best_step and vocabulary.characters == "".join(
        sorted(set(book.read_text()))
    )
    task = tiny(book).make_task()
    assert evaluate(model, task.streams("test", 2), stateful=True).loss == result.test["loss"]
    assert len(generate(model, vocabulary, "the ", length=20)[0]) == 20
    assert load_model(out / LAST)[2]["training"]["step"] == 200


def test_train_text_interrupted_resumes_to_equal_files(book, tmp_path):
    train_text(tiny(book), tmp_path / "whole", logging=LOGGING)
    asked = iter(range(1000))
    for _ in range(20):
        result = train_text(tiny(book), tmp_path / "pieces", logging=LOGGING, stop=lambda: next(asked) % 5 == 4)
        if result.fit.stopped != "interrupted":
            break
        assert result.test is None
    assert contents(tmp_path / "pieces") == contents(tmp_path / "whole")
    run, logging = find_run(tmp_path / "pieces")
    assert run == tiny(book) and logging == LOGGING


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("stateful", [True, False])
def test_train_text_of_every_model_trains_and_generates(book, tmp_path, name, stateful):
    run = tiny(book, 6, model=name)
    options = {"hidden": 8} if name in models.GNNS else {"hidden": 8, "tie_weights": True}
    train = replace(run.train, stateful=stateful, eval_batch_size=2 if stateful else 32)
    run = replace(run, options=options, train=train)
    result = train_text(run, tmp_path / "run", logging=LoggingConfig(sample_every=6))
    assert result.fit.validation[-1].loss < 4 and result.test["loss"] < 4
    model, vocabulary, _ = load_model(tmp_path / "run")
    assert len(generate(model, vocabulary, "the ", length=5)[0]) == 5


def test_train_text_invalid_arguments_raise_value_error(book, tmp_path):
    with pytest.raises(ValueError, match=r"TextRun: expected model .*, got 'lstn'.* did you mean 'lstm'"):
        tiny(book, model="lstn")
    with pytest.raises(ValueError, match="TextRun: expected seed to be an integer of at least 0, got -1"):
        tiny(book, seed=-1)
    with pytest.raises(ValueError, match="expected log_every to be an integer of at least 1, got 0"):
        train_text(tiny(book), tmp_path / "x", logging=LoggingConfig(log_every=0))
    with pytest.raises(ValueError, match="'Z'"):
        train_text(tiny(book), tmp_path / "x", logging=LoggingConfig(prompt="Z"))
    train_text(tiny(book, 2), tmp_path / "run", logging=LoggingConfig(sample_every=0))
    with pytest.raises(
        ValueError, match=r"expected the run that .*run holds, or another folder, got seed=1 where it has"
    ):
        train_text(tiny(book, 2, seed=1), tmp_path / "run")
    slower = replace(tiny(book, 2), train=replace(tiny(book, 2).train, lr=0.5))
    with pytest.raises(ValueError, match=r"expected the run that .*run holds, .* got train.lr=0.5 where it has 0.02"):
        train_text(slower, tmp_path / "run")
    book.write_text(book.read_text() + "!")
    with pytest.raises(
        ValueError, match=r"expected the text of the run in .*run, or another folder, got book.txt, but its"
    ):
        train_text(tiny(book, 2), tmp_path / "run")
    with pytest.raises(ValueError, match=r"expected a device that this torch can use, got 'nowhere' \("):
        train_text(tiny(book, 2), tmp_path / "new", device="nowhere")
    assert not (tmp_path / "new").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log.jsonl").write_text("mine")
    with pytest.raises(ValueError, match=r"expected a folder without log\.jsonl for a new run"):
        train_text(tiny(book, 2), tmp_path / "other")
    with pytest.raises(ValueError, match=r"expected the folder of a run, got .*nowhere"):
        find_run(tmp_path / "nowhere")
    for content, message in (("{", "a damaged file"), ("{}", "expected format 'seqgnn-text-run'")):
        (tmp_path / "run" / "run.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            find_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"expected a writable folder, got .*book.txt"):
        train_text(tiny(book, 2), book)


def test_train_text_folder_in_use_raises_value_error(book, tmp_path):
    def start_again(*_):
        with pytest.raises(ValueError, match=r"expected a folder that no other process trains in, got .*run"):
            train_text(tiny(book), tmp_path / "run", logging=LOGGING)

    train_text(tiny(book, 1), tmp_path / "run", on_step=start_again)


@pytest.mark.parametrize("save_every", [1000, 5])
def test_train_text_after_crash_resumes_to_equal_files(book, tmp_path, save_every):
    """Before the first checkpoint, and with the best weights saved after the last state; to other numbers of steps."""

    class Crash(Exception):
        pass

    def crash(step, *_):
        if step == 8:
            raise Crash

    def constant(steps):
        return replace(tiny(book), train=replace(tiny(book, steps).train, schedule="constant"))

    logging = replace(LOGGING, save_every=save_every)
    with pytest.raises(Crash):
        train_text(constant(24), tmp_path / "broken", logging=logging, on_step=crash)
    with open(tmp_path / "broken" / "log.jsonl", "a") as log:
        log.write('{"step": 9, "lo')
    (tmp_path / "broken" / ".last.safetensors.00000000.tmp").write_text("half")
    assert find_run(tmp_path / "broken")[0] == constant(24)
    train_text(constant(7), tmp_path / "broken", logging=logging)
    train_text(constant(24), tmp_path / "broken", logging=logging)
    assert not list((tmp_path / "broken").glob(".*.tmp"))
    train_text(constant(7), tmp_path / "whole", logging=logging)
    train_text(constant(24), tmp_path / "whole", logging=logging)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    (tmp_path / "whole" / BEST).unlink()
    (tmp_path / "whole" / "result.json").unlink()
    train_text(constant(24), tmp_path / "whole", logging=logging)
    assert json.loads((tmp_path / "whole" / "result.json").read_text())["result"]["steps"] == 24


def test_train_text_fewer_steps_or_lost_state_raises_value_error(book, tmp_path):
    train_text(tiny(book, 6), tmp_path / "run", logging=LOGGING)
    with pytest.raises(
        ValueError, match=r"expected no fewer steps than the run in .*run has taken, got steps=5 where it"
    ):
        train_text(tiny(book, 5), tmp_path / "run", logging=LOGGING)
    (tmp_path / "run" / LAST).unlink()
    best = (tmp_path / "run" / BEST).read_bytes()
    with pytest.raises(ValueError, match=r"expected last.safetensors of the run in .*run to resume from, got none"):
        train_text(tiny(book, 6), tmp_path / "run", logging=LOGGING)
    assert (tmp_path / "run" / BEST).read_bytes() == best


def test_find_run_of_run_json_with_flipped_bits_raises(book, tmp_path):
    """150 flips; one between values, such as a blank, changes nothing."""
    out = tmp_path / "run"
    train_text(tiny(book, 2), out, logging=LoggingConfig(sample_every=0))
    file, found, refused = out / "run.json", find_run(out), 0
    content = file.read_bytes()
    for number in random.Random(0).choices(range(8 * len(content)), k=150):
        flipped = bytearray(content)
        flipped[number // 8] ^= 1 << number % 8
        file.write_bytes(flipped)
        try:
            assert find_run(out) == found, flipped
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 9}, "expected length=10 in .*run.json, as in last.safetensors, got 9"),
        ({"split": [0.8, 0.1, 0.1]}, r"expected split=\[0.9, 0.05, 0.05\] in .*run.json"),
        ({"options": {"hidden": 8, "num_layers": 2, "dropout": 0.3}}, r"expected options.dropout=0.2 in .* got 0.3"),
    ],
)
def test_train_text_run_json_unlike_its_checkpoint_raises(book, tmp_path, change, message):
    """Without a checksum, as earlier versions wrote it, or with a new one; and with it, whatever was changed."""
    out = tmp_path / "run"
    train_text(tiny(book, 2), out, logging=LoggingConfig(sample_every=0))
    file, checkpoint = out / "run.json", (out / LAST).read_bytes()
    description = json.loads(file.read_text())
    description["run"] |= change
    file.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"run.json was changed after it was written \(sha256\)"):
        find_run(out)
    del description["sha256"]
    file.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=message):
        train_text(find_run(out)[0], out, logging=LoggingConfig(sample_every=0))
    assert json.loads(file.read_text()) == description and (out / LAST).read_bytes() == checkpoint


def test_train_text_whose_folder_is_removed_raises(book, tmp_path, monkeypatch):
    monkeypatch.setattr(text_training, "STORE_EVERY", 0.0)
    out, steps = tmp_path / "run", []

    def remove(step, *_):
        steps.append(step)
        if step == 3:
            out.rename(tmp_path / "renamed")

    with pytest.raises(ValueError, match=f"expected the folder {out}, but it was removed, renamed or unmounted"):
        train_text(tiny(book), out, logging=LoggingConfig(log_every=1, sample_every=0), on_step=remove)
    assert steps[-1] == 3


def test_train_text_with_unicode_line_ends_resumes_if_moved(book, tmp_path):
    """The text has unusual line separators, and is read from another path when the run resumes."""
    book.write_text(book.read_text().replace("dog", "d\u2028\u0085g"))
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text(book.read_text())
    run = replace(tiny(book, 16), options={"hidden": 4, "num_layers": 1, "hops": (1, 2)}, model="gcn")
    stop = iter([False] * 9 + [True] * 9)
    train_text(run, tmp_path / "pieces", logging=LOGGING, stop=lambda: next(stop))
    found, logging = find_run(tmp_path / "pieces")
    assert found == run
    train_text(replace(found, files=(str(elsewhere),)), tmp_path / "pieces", logging=logging)
    assert find_run(tmp_path / "pieces")[0].files == (str(elsewhere),)
    train_text(run, tmp_path / "whole", logging=LOGGING)
    samples = [(tmp_path / name / "samples.jsonl").read_text() for name in ("pieces", "whole")]
    assert samples[0] == samples[1] and samples[0].count("\n") == 32


def test_load_model_with_other_weights_raises_value_error(tmp_path):
    about = {
        "model": {"name": "rnn", "num_classes": 2, "num_tokens": 2},
        "vocabulary": {"characters": "ab", "counts": [1, 1]},
    }
    write_checkpoint(tmp_path / "x", {"model.head.weight": torch.zeros(3, 3)}, about)
    with pytest.raises(ValueError, match=r"the weights in .*x do not fit its model"):
        load_model(tmp_path / "x")
    write_checkpoint(tmp_path / "x", {}, {})
    with pytest.raises(ValueError, match=r"expected a character model in .*x, got something else"):
        load_model(tmp_path / "x")


def test_train_text_rejected_call_leaves_files_unchanged(book, tmp_path):
    out, run = tmp_path / "run", tiny(book, 4)
    train_text(run, out, logging=LoggingConfig(sample_every=0))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for change in ({"steps": 9, "lr": 0.5}, {"steps": 2}):
        other = replace(run, train=replace(run.train, **change))
        with pytest.raises(ValueError, match=r"train: expected (the run that|no fewer steps than the run in) .*run"):
            logging = LoggingConfig(sample_every=0)
            train_text(other, out, logging=logging, on_start=lambda _: pytest.fail("it does not start"))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    train_text(run, out, logging=LoggingConfig(sample_every=0, prompt="the"))
    assert find_run(out)[1].prompt == "the"


def test_train_text_killed_in_evaluation_evaluates_again(book, tmp_path, monkeypatch):
    out, run = tmp_path / "run", tiny(book, 4)
    train_text(run, out, logging=LoggingConfig(sample_every=0))
    longer = replace(run, train=replace(run.train, steps=40))

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(text_training, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            train_text(longer, out, logging=LoggingConfig(sample_every=0))
    test = train_text(longer, out, logging=LoggingConfig(sample_every=0)).test
    kept = json.loads((out / "result.json").read_text())["result"]
    assert kept["steps"] == 40 and kept["test"] == test


def test_train_text_after_early_stopping_takes_no_more_steps(book, tmp_path):
    out, run = tmp_path / "run", tiny(book, 400)
    run = replace(run, train=replace(run.train, patience=1, eval_every=1, lr=1e-9))
    ended = train_text(run, out, logging=LoggingConfig(sample_every=0)).fit
    assert ended.stopped == "no better"
    assert train_text(run, out, logging=LoggingConfig(sample_every=0)).fit.steps == ended.steps
    with pytest.raises(ValueError, match=rf"got steps=500 where it ended after {ended.steps} \(no better\)"):
        train_text(replace(run, train=replace(run.train, steps=500)), out, logging=LoggingConfig(sample_every=0))


def _child(run, out, taken):
    def note(*_):
        taken.value += 1

    torch.set_num_threads(1)
    train_text(run, out, logging=LOGGING, on_step=note)


@pytest.mark.slow
def test_train_text_killed_at_any_moment_resumes_to_equal_files(book, tmp_path):
    """Twenty times killed, some steps on and a moment later; nearly half of their time goes into writing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seqgnn.experiments.runs.text", "safetensors.torch"])

    def start(name, steps):
        """A run that has taken so many steps, or is at its end."""
        taken = context.Value("q", 0, lock=False)
        process = context.Process(target=_child, args=(tiny(book, 200), tmp_path / name, taken))
        process.start()
        while process.is_alive() and taken.value < steps:
            time.sleep(0.001)
        return process

    whole = start("whole", 1)
    clock = time.monotonic()
    whole.join()
    one_step = (time.monotonic() - clock) / 200
    assert whole.exitcode == 0
    moments, steps = random.Random(0), set()
    for _ in range(20):
        killed = start("killed", moments.randint(1, 16))
        time.sleep(moments.uniform(0, 4) * one_step)
        killed.kill()
        killed.join()
        if (tmp_path / "killed" / LAST).exists():
            steps.add(read_checkpoint(tmp_path / "killed" / LAST)[1]["training"]["step"])
    last = start("killed", 1)
    last.join()
    assert last.exitcode == 0 and len(steps) > 8
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
