"""Comparisons that were never run, all figures known."""

from seqgnn.experiments.compare import Comparison


def run(
    accuracy, loss=1.0, model="lstm", steps=30, parameters=100, stopped="steps", seed=0, readout="last", count=10,
    validation=(),
):  # fmt: skip
    return {
        "config": {
            "model": model,
            "readout": readout,
            "num_layers": 2,
            "hops": [1, 2],
            "seed": seed,
            "train": {"target_accuracy": 0.995},
        },
        "result": {
            "test": {"accuracy": accuracy, "loss": loss, "count": count},
            "steps": steps,
            "best_step": steps - 10,
            "stopped": stopped,
            "parameters": parameters,
            "losses": [2.0 - 0.01 * step for step in range(steps)],
            "accuracies": [step / steps for step in range(steps)],
            "validation": list(validation),
        },
        "measured": {"seconds": 2.0},
    }


def example(lengths=(4, 20), metric="accuracy"):
    """Two models with two seeds and two baselines, all figures known."""
    comparison = Comparison("recall", metric, ("LSTM", "GCN"), lengths, (0, 1))
    for length in lengths:
        comparison.runs |= {
            ("LSTM", length, 0): run(0.5),
            ("LSTM", length, 1): run(1.0, steps=50, stopped="solved", seed=1),
            ("GCN", length, 0): run(0.25, model="gcn", parameters=250),
        }
        comparison.baselines |= {("chance", length): run(0.1), ("bigram", length): run(0.2)}
    comparison.failures["GCN", lengths[0], 1] = "ValueError: no luck"
    return comparison


def grid(scores, baselines=(), task="recall", length=5, metric="accuracy", count=10_000, stopped="steps", readouts=()):
    """One length: by label the scores of seeds, and the score of each baseline."""
    readouts, baselines = dict(readouts), dict(baselines)
    found = Comparison(task, metric, tuple(scores), (length,), tuple(range(max(map(len, scores.values())))))
    for label, of in scores.items():
        for seed, score in enumerate(of):
            found.runs[label, length, seed] = run(
                score, score, seed=seed, count=count, stopped=stopped, readout=readouts.get(label, "last")
            )
    for name, score in baselines.items():
        found.baselines[name, length] = run(score, score, count=count)
    return found
