"""The configuration of a run: what it depends on, and the model that it builds."""

import math

import torch

from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from seqgnn.training.loop import TrainConfig
from tests.support.comparisons import tiny


def test_run_config_contains_only_what_a_run_depends_on():
    first = tiny(models=["lstm", "gcn-in-lstm"])
    wider = tiny(models=["lstm", "gcn-in-lstm"], window=2)
    assert first.runs["LSTM", 4, 0].config == wider.runs["LSTM", 4, 0].config
    assert first.runs["GCN in LSTM", 4, 0].config.window == 4
    assert wider.runs["GCN in LSTM", 4, 0].config.window == 2
    assert first.runs["LSTM", 4, 0].as_dict()["config"]["train"]["steps"] == 6


def test_run_config_build_applies_init_and_forget_bias():
    task = SEQUENCE_TASKS["recall"](6, (1,), None)

    def built(**changes):
        base = RunConfig(
            task="recall", size=6, data_id=None, model="lstm", readout="last", hops=(1,), num_layers=1, hidden=8,
            encoding="one-hot", window=None, init=(), forget_bias=None, positions=False, parameters=None, seed=0,
            device="cpu", train=TrainConfig(),
        )  # fmt: skip
        return RunConfig(**{**vars(base), **changes}).build(task)

    before = torch.random.get_rng_state()
    layer = built(init=("orthogonal", "chrono")).encoder.layer
    block = layer.weight_hh_l0[:8]
    torch.testing.assert_close(block @ block.T, torch.eye(8))
    forget = (layer.bias_ih_l0 + layer.bias_hh_l0)[8:16]
    assert forget.min() >= 0 and forget.max() <= math.log(5)
    layer = built(forget_bias=1.5).encoder.layer
    torch.testing.assert_close((layer.bias_ih_l0 + layer.bias_hh_l0)[8:16], torch.full((8,), 1.5))
    assert torch.equal(torch.random.get_rng_state(), before)
