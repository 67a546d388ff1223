"""Presets: models and settings of published comparisons, by name. Other options override those of a preset."""

from typing import Any

from seqgnn.experiments.grid.specs import MODEL_SPECS, ModelSpec

# Hidden units, samples a step and steps of both course reports.
_REPORTS: dict[str, Any] = {"hidden": 128, "batch_size": 128, "steps": 10_000, "lr": 1e-3, "eval_every": 100,
                            "target_accuracy": 0.995}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    # RMSprop and Xavier-normal weights, the LSTM's forget bias at 1.
    "reports": _REPORTS
    | {
        "models": [
            ModelSpec("RNN", "rnn", init=("xavier",)),
            ModelSpec("LSTM", "lstm", init=("xavier",), forget_bias=1.0),
        ],
        "lengths": [5, 10, 15, 20, 25, 30],
    },
    # Le et al. 2015 for the RNN, with tanh instead of ReLU, and a latch; Tallec and Ollivier 2018 for the gates.
    "long-memory": _REPORTS
    | {
        "models": [
            ModelSpec("RNN, identity", "rnn", init=("identity",), lr=1e-4),
            ModelSpec("RNN, latch", "rnn", init=("latch",)),
            ModelSpec("LSTM, chrono", "lstm", init=("orthogonal", "chrono")),
            ModelSpec("GRU, chrono", "gru", init=("orthogonal", "chrono")),
            MODEL_SPECS["gcn"],
            MODEL_SPECS["gcn-mean"],
        ],
        "lengths": [100],
    },
}
