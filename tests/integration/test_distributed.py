"""Several processes through Lightning Fabric under torchrun follow the run of one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from seqgnn.data import SequenceGraph, path_graph, sequence_batch
from seqgnn.data.batching import part_of_batch
from seqgnn.training.checkpoint import LAST, read_checkpoint

SCRIPT = """
import json, os, sys, torch
from seqgnn.models import sequence_model as models
from seqgnn.training.checkpoint import Checkpoints
from seqgnn.data import CharText
from seqgnn.training.loop import TrainConfig, fit

name, stateful, dropout, steps, folder, out = sys.argv[1:]
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
fabric = None
if int(os.environ.get("WORLD_SIZE", "1")) > 1:
    from lightning_fabric import Fabric
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
text = CharText(length=8, hops=(1, 2, 4))
text.validation_ids = text.validation_ids[:3000]
torch.manual_seed(0)
options = {"num_classes": text.num_classes, "num_tokens": text.num_tokens, "hidden": 6, "hops": text.hops}
model = models.build(name, per_element=True, length=8, encoding="embedding", dropout=float(dropout), **options)
config = TrainConfig(
    steps=int(steps), batch_size=4, optimizer="adam", lr=0.01, eval_every=6, eval_batch_size=64,
    stateful=stateful == "stateful", monitor="loss",
)
checkpoints = Checkpoints(folder, 5) if folder != "-" else None
result = fit(model, text, config, seed=0, checkpoints=checkpoints, fabric=fabric)
if fabric is None or fabric.global_rank == 0:
    weights = {name: value.tolist() for name, value in model.state_dict().items()}
    validation = {str(point.step): point.loss for point in result.validation}
    with open(out, "w") as file:
        json.dump({"losses": result.losses, "weights": weights, "validation": validation}, file)
if fabric is not None:
    torch.distributed.destroy_process_group()
"""


def run(tmp_path, processes, name="lstm", stateful="stateful", dropout=0, steps=12, folder="-"):
    script, out = tmp_path / "train.py", tmp_path / f"{processes}.json"
    script.write_text(SCRIPT)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    call = [*start, str(script), name, stateful, str(dropout), str(steps), str(folder), str(out)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def check_same(one, two):
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-8)
    assert one["validation"]["12"] == pytest.approx(two["validation"]["12"], rel=1e-8)
    for name, value in one["weights"].items():
        torch.testing.assert_close(torch.tensor(value), torch.tensor(two["weights"][name]), rtol=1e-8, atol=1e-10)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process."""
    pytest.importorskip("lightning_fabric")
    return run(tmp_path_factory.mktemp("alone"), 1)


@pytest.mark.slow
def test_fit_on_two_processes_equals_one(tmp_path, alone):
    check_same(run(tmp_path, 2), alone)


@pytest.mark.slow
def test_fit_of_gcn_on_two_processes_equals_one(tmp_path):
    pytest.importorskip("lightning_fabric")
    check_same(run(tmp_path, 2, "gcn", "crops"), run(tmp_path, 1, "gcn", "crops"))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_fit_resumed_with_other_number_of_processes_is_equal(tmp_path, alone, first, second):
    run(tmp_path, first, steps=7, folder=tmp_path / "run")
    check_same(run(tmp_path, second, folder=tmp_path / "run"), alone)


@pytest.mark.slow
def test_fit_with_dropout_on_two_processes_resumes_equal(tmp_path, alone):
    whole = run(tmp_path, 2, dropout=0.5)
    assert whole["losses"] != pytest.approx(alone["losses"], rel=1e-3)
    run(tmp_path, 2, dropout=0.5, steps=7, folder=tmp_path / "run")
    assert run(tmp_path, 2, dropout=0.5, folder=tmp_path / "run")["losses"] == whole["losses"]


@pytest.mark.slow
def test_cli_train_text_ctrl_c_saves_run_of_two_processes(tmp_path):
    """A terminal sends the signal to all, torchrun passes it on once more, and they receive it at different steps."""
    pytest.importorskip("lightning_fabric")
    out = tmp_path / "run"
    options = ["--hidden", "8", "--length", "10", "--batch-size", "4", "--log-every", "5", "--steps", "1000000"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    with subprocess.Popen(
        [*command, "-m", "seqgnn", "train", "text", "--out", str(out), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as processes:  # fmt: skip
        while not (out / "log.jsonl").exists() or not (out / "log.jsonl").read_text():
            assert processes.poll() is None, processes.communicate()
            time.sleep(0.1)
        os.killpg(processes.pid, signal.SIGINT)
        said, _ = processes.communicate(timeout=120)
    step = read_checkpoint(out / LAST)[1]["training"]["step"]
    assert f"saved after step {step}; resume with: seqgnn train text --resume {out}" in said


def test_part_of_batch_equals_batch_of_the_part():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(5, (6, 4), generator=generator), torch.randint(5, (6, 4), generator=generator)
    edges = path_graph(4, hops=(1, 2))
    part, expected = part_of_batch(sequence_batch(x, y, edges), 2, 5), sequence_batch(x[2:5], y[2:5], edges)
    for name in ("x", "y", "edge_index", "batch", "ptr"):
        assert torch.equal(part[name], expected[name]), name
    assert part.num_graphs == 3
    for one, two in zip(part.to_data_list(), expected.to_data_list(), strict=True):
        assert isinstance(one, SequenceGraph)
        assert all(torch.equal(one[name], two[name]) for name in ("x", "y", "edge_index"))
