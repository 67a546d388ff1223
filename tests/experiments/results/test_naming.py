"""Labels of stored runs."""

from seqgnn.experiments import ModelSpec
from seqgnn.experiments.results.naming import distinct_labels
from tests.support.comparisons import SMALL, plan_grid


def jobs_of(task, **options):
    return [job for job in plan_grid(task, **options).jobs if job.spec is not None]


def test_distinct_labels_of_equal_names_add_differing_options():
    own = ModelSpec("x", "gru", init=("orthogonal",), positions=True, readout="max")
    jobs = [
        *jobs_of("recall", models=["lstm"], **SMALL),
        *jobs_of("recall", models=["lstm"], **(SMALL | {"hidden": 8})),
        *jobs_of("recall", models=["lstm"], **(SMALL | {"hidden": 8, "lr": 0.5})),
        *jobs_of("recall", models=["rnn"], **SMALL),
        *jobs_of("recall", models=[own], **SMALL),
    ]
    labels = distinct_labels([job.spec.label for job in jobs], [job.config for job in jobs])
    assert labels[::2] == [
        "LSTM, 4 units, lr 0.003", "LSTM, 8 units, lr 0.003", "LSTM, 8 units, lr 0.5", "RNN", "x",
    ]  # fmt: skip
