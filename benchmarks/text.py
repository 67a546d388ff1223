"""Character models on two books: loss and cost, compared with n-grams.

    python benchmarks/text.py report --data-dir DATA           # the LSTM of a course report, 2 x 128, in 15,000 steps
    python benchmarks/text.py equal --data-dir DATA --jobs 2   # every model at equal size and steps, three seeds
    python benchmarks/text.py best --data-dir DATA             # the lowest test loss with 1.5 million parameters
    python benchmarks/text.py speed --data-dir DATA            # speed relative to the same model in torch; generation

The books are `democracy_in_america/book_EN_democracy_in_the_US.txt` and `tinyshakespeare/input.txt` in `--data-dir` or
SEQGNN_DATA. The last tenth of each is the test part, which is used once, at the end. Models are trained on everything
before it, except for a thousandth that CharText needs for validation and that affects nothing: the number of steps is
fixed in advance, and the weights are those after the last step. Settings were chosen without the test part, by training
on the first 85% and evaluating on the next 5%. Every run is a folder in benchmarks/results/text/runs. Runs can be
stopped, and resume when the script is called again. The results have only finished runs, in one JSON file per part.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seqgnn._utils.files import write_atomically
from seqgnn._utils.validation import one_of
from seqgnn.data import CharText
from seqgnn.experiments.runs.store import run_key
from seqgnn.experiments.runs.text import load_model, train_text
from seqgnn.experiments.runs.text_config import TEXT_TRAINING, LoggingConfig, TextRun
from seqgnn.metrics.significance import mean_sd
from seqgnn.models import sequence_model as models
from seqgnn.models.baselines.ngram import NGram
from seqgnn.models.generation import generate, stream
from seqgnn.models.sampling import SamplingConfig
from seqgnn.profile.resources import measurement
from seqgnn.training.loop import TrainConfig, fit

RESULTS = Path(__file__).parent / "results" / "text"
BOOKS = {
    "democracy": Path("democracy_in_america") / "book_EN_democracy_in_the_US.txt",
    "shakespeare": Path("tinyshakespeare") / "input.txt",
}
SPLIT = (0.899, 0.001, 0.1)
LAST = 1000  # last steps over which the training loss is averaged
WRITTEN = 100_000  # generated characters
ORDERS = (1, 2, 3, 4, 5, 6)
TRAIN = replace(TEXT_TRAINING, monitor="last")
REPORT = TextRun(split=SPLIT, length=30, options={"hidden": 128, "num_layers": 2}, train=replace(TRAIN, lr=4e-3))
EQUAL = {
    name: TextRun(split=SPLIT, model=name, options={"parameters": 120_000}, train=replace(TRAIN, steps=2000))
    for name in ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm", "gcn-in-lstm")
}
BEST = TextRun(
    split=SPLIT,
    length=100,
    options={"hidden": 296, "num_layers": 2, "dropout": 0.35, "weight_dropout": 0.4, "forget_bias": 1.0},
    train=replace(TRAIN, steps=10_000, optimizer="adamw", weight_decay=0.01, lr=3e-3, precision="bf16"),
)
PARTS = ("report", "equal", "best", "speed", "ngrams")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("SEQGNN_DATA"))
    parser.add_argument("--books", default=",".join(BOOKS))
    parser.add_argument("--models", default=",".join(EQUAL), help="models of part equal")
    parser.add_argument("--seeds", default="0,1,2", help="seeds of part equal")
    parser.add_argument("--steps", type=int, help="number of steps, instead of the default of each part")
    parser.add_argument("--jobs", type=int, default=1, help="processes of part equal, one thread each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    try:
        if given.data_dir is None:
            raise ValueError("expected --data-dir or SEQGNN_DATA, got neither")
        for part in [one_of("text", "part", name, PARTS) for name in given.parts] or PARTS:
            books = [one_of("text", "book", name, BOOKS) for name in given.books.split(",")]
            result = {"report": report, "equal": equal, "best": best, "speed": speed, "ngrams": ngrams}[part](
                given, books
            )
            given.out.mkdir(parents=True, exist_ok=True)
            write_atomically(given.out / f"{part}.json", json.dumps(result, indent=1) + "\n")
            print(f"{part}: written to {given.out / f'{part}.json'}")
    except ValueError as error:
        print(f"text: {error}", file=sys.stderr)
        return 2
    return 0


def perform(run: TextRun, given: argparse.Namespace, book: str) -> dict[str, Any]:
    """Run or resume training; return its result, the training loss of the last steps and the speed of generation."""
    train = run.train if given.steps is None else replace(run.train, steps=given.steps)
    run = replace(run, files=(str((Path(given.data_dir) / BOOKS[book]).resolve()),), train=train)
    key = run_key({"model": run.model, "options": run.options, "seed": run.seed, "book": book, "length": run.length,
                   "train": vars(train)})  # fmt: skip
    folder = given.out / "runs" / f"{book}-{run.model}-{run.seed}-{key}"
    often = max(1, min(500, train.steps // 5))
    logging = LoggingConfig(log_every=often, sample_every=train.steps // 5)
    fitted = train_text(run, folder, device=given.device, logging=logging)
    record = json.loads((folder / "result.json").read_text())
    losses, accuracies = (statistics.fmean(curve[-LAST:]) for curve in (fitted.fit.losses, fitted.fit.accuracies))
    model, vocabulary, _ = load_model(folder)
    sampling = SamplingConfig(temperature=0.7, seed=run.seed)
    start = time.perf_counter()
    (text,) = generate(model, vocabulary, "The ", sampling, length=300)
    speed = len(text) / (time.perf_counter() - start)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {
        "book": book,
        "model": run.model,
        "seed": run.seed,
        "options": {**record["model"], "name": run.model},
        "train": record["run"]["train"],
        **record["result"],
        "training_loss": losses,
        "training_accuracy": accuracies,
        "training_characters_per_second": statistics.median(
            line["characters_per_second"] for line in log if "characters_per_second" in line
        ),
        "generation_characters_per_second": speed,
        "sample": text,
        "measured": record["measured"],
    }


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(
            f"{row['book']} {row['model']} seed {row['seed']}: test {row['test']['loss']:.4f} nats, accuracy "
            f"{row['test']['accuracy']:.4f}; training loss {row['training_loss']:.4f}, accuracy "
            f"{row['training_accuracy']:.4f} (last 1000 steps); {row['parameters']:,} parameters, "
            f"{row['training_characters_per_second']:,.0f} characters/s"
        )


def report(given: argparse.Namespace, books: list[str]) -> dict[str, Any]:
    """Train the model of report 2 on Democracy in America. Report: 1.058 and 0.68 in training after a million steps."""
    rows = [perform(REPORT, given, "democracy")]
    show(rows)
    return {"runs": rows}


def best(given: argparse.Namespace, books: list[str]) -> dict[str, Any]:
    rows = [perform(BEST, given, book) for book in books]
    show(rows)
    return {"runs": rows}


def equal(given: argparse.Namespace, books: list[str]) -> dict[str, Any]:
    """Train models with parameter counts within 10% of each other on the same streams and steps, with paired seeds."""
    from joblib import Parallel, delayed

    names = [one_of("text", "model", name, EQUAL) for name in given.models.split(",")]
    seeds = [int(seed) for seed in given.seeds.split(",")]
    todo = [(book, name, seed) for seed in seeds for book in books for name in names]

    def one(book: str, name: str, seed: int) -> dict[str, Any]:
        torch.set_num_threads(1)
        return perform(replace(EQUAL[name], seed=seed), given, book)

    runs = Parallel(n_jobs=given.jobs, batch_size=1)(delayed(one)(*what) for what in todo)
    show(runs)
    table = []
    for book in books:
        for name in names:
            chosen = [run for run in runs if (run["book"], run["model"]) == (book, name)]
            mean, sd = mean_sd([run["test"]["loss"] for run in chosen])
            table.append({"book": book, "model": name, "test_loss": mean, "sd": sd, "seeds": len(chosen)})
            print(f"{book} {name}: {mean:.4f} ± {sd:.4f} over {len(chosen)} seeds")
    return {"table": table, "runs": runs}


def ngrams(given: argparse.Namespace, books: list[str]) -> dict[str, Any]:
    """Fit Witten-Bell n-grams on the same training part."""
    rows = []
    for book in books:
        text = CharText(Path(given.data_dir) / BOOKS[book], split=SPLIT)
        for order in ORDERS:
            start = time.perf_counter(), time.process_time()
            loss, accuracy = NGram.fit(text.train_ids, text.num_tokens, order).score(text.test_ids)
            row = {"book": book, "order": order, "test_loss": loss, "accuracy": accuracy}
            rows.append({**row, "measured": measurement(start)})
            print(f"{book} order {order}: {loss:.4f} nats, accuracy {accuracy:.4f}")
    return {"rows": rows}


class Plain(nn.Module):
    """The model of report 2 in plain torch."""

    def __init__(self, num_tokens: int, hidden: int, num_layers: int) -> None:
        super().__init__()
        self.table = nn.Embedding(num_tokens, hidden)
        self.lstm = nn.LSTM(hidden, hidden, num_layers)
        self.head = nn.Linear(hidden, num_tokens)

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        output, state = self.lstm(self.table(x), state)
        return self.head(output), state


def speed(given: argparse.Namespace, books: list[str]) -> dict[str, Any]:
    """Return the training speed of `fit` relative to a plain loop around torch.nn.LSTM, on the same streams, by
    interleaved timing, and the time per character in each tenth of a generated text of `WRITTEN` characters."""
    start = time.perf_counter(), time.process_time()
    run = replace(REPORT, files=(str(Path(given.data_dir) / BOOKS["democracy"]),))
    text = run.make_task()
    steps, rounds = 60, 11
    config = replace(run.train, steps=steps, eval_every=10**9)
    ratios, ours, theirs = [], [], []
    for turn in range(rounds):
        times = {}
        for who in ("seqgnn", "torch") if turn % 2 else ("torch", "seqgnn"):
            times[who] = (seconds_of_fit if who == "seqgnn" else seconds_of_loop)(run, text, config)
        ours.append(times["seqgnn"])
        theirs.append(times["torch"])
        ratios.append(times["torch"] / times["seqgnn"])
    characters = steps * config.batch_size * run.length
    result = {
        "speed_relative_to_torch": statistics.median(ratios),
        "ratios": ratios,
        "seqgnn_characters_per_second": characters / statistics.median(ours),
        "torch_characters_per_second": characters / statistics.median(theirs),
    }
    print(f"training: {result['speed_relative_to_torch']:.3f} times the speed of torch.nn.LSTM in a plain loop")
    result["written"] = WRITTEN
    for name, options in {"lstm": REPORT.options, "gcn": {"hidden": 128}}.items():
        tenths = microseconds_per_character(replace(run, model=name, options=options), text)
        result[f"{name}_microseconds_per_character"] = tenths
        print(f"generation with {name}: {tenths[0]:.0f} us per character at first, {tenths[-1]:.0f} us at the end")
    return {**result, "measured": measurement(start)}


def microseconds_per_character(run: TextRun, text: CharText) -> list[float]:
    """Return microseconds per character in each tenth of a long text, generated by an untrained model."""
    model = models.build(**run.build_options(text))
    marks = [time.perf_counter()]
    for step, _ in enumerate(stream(model, text.vocabulary, length=WRITTEN), start=1):
        if step % (WRITTEN // 10) == 0:
            marks.append(time.perf_counter())
    return [1e7 * (after - before) / WRITTEN for before, after in itertools.pairwise(marks)]


def seconds_of_fit(run: TextRun, text: CharText, config: TrainConfig) -> float:
    """Return the seconds of `fit` from the first step to the last, without setup and final evaluation."""
    marks: list[float] = []
    fit(
        models.build(**run.build_options(text)),
        _Unseen(text),
        config,
        seed=0,
        on_step=lambda *_: marks.append(time.perf_counter()),
    )
    return (marks[-1] - marks[0]) * len(marks) / (len(marks) - 1)


class _Unseen:
    """A text whose validation part is one short window, so that the final evaluation of `fit` costs nothing."""

    def __init__(self, text: CharText) -> None:
        self.text = text

    def stream(self, batch_size: int, index: int) -> Any:
        return self.text.stream(batch_size, index)

    def streams(self, part: str, batch_size: int) -> Any:
        return [self.text.stream(1, 0)[0]]


def seconds_of_loop(run: TextRun, text: CharText, config: TrainConfig) -> float:
    model = Plain(text.num_tokens, run.options["hidden"], run.options["num_layers"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    ids, size = text.train_ids.long(), config.batch_size
    streams = ids[: len(ids) // size * size].view(size, -1).T.contiguous()
    state, losses, start = None, [], 0.0
    for step in range(config.steps):
        if step == 1:
            start = time.perf_counter()
        at = step * run.length
        x, y = streams[at : at + run.length], streams[at + 1 : at + run.length + 1]
        logits, (h, c) = model(x, state)
        state = h.detach(), c.detach()
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return (time.perf_counter() - start) * config.steps / (config.steps - 1)


if __name__ == "__main__":
    sys.exit(main())
