"""Two processes with torch's FSDP2 and `replicate` train every layer as one process does."""

import subprocess
import sys

import pytest
import torch

from tests.support.paths import ROOT

SCRIPT = """
import os, sys, torch, torch.distributed as dist
from torch.distributed._composable.replicate import replicate
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from tests.support.tool_cases import LAYERS, LARGE, tensors

how, out = sys.argv[1:]
rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
torch.set_num_threads(1)
if world > 1:
    dist.init_process_group("gloo")
weights = {}
for layer in LAYERS:
    module = layer.build()
    if world > 1:
        if how == "fsdp":
            fully_shard(module, mesh=init_device_mesh("cpu", (world,)))
        else:
            replicate(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    edges = [layer.edges(LARGE)] if layer.on_graph else []
    for step in range(3):
        losses = []  # each process has a batch of its own, and a single one has both
        for part in range(2) if world == 1 else [rank]:
            losses.append(tensors(module(layer.x(LARGE, seed=2 * step + part), *edges))[0].square().mean())
        optimizer.zero_grad()
        (sum(losses) / len(losses)).backward()
        optimizer.step()
    found = {name: parameter.detach() for name, parameter in module.named_parameters()}
    weights[str(layer)] = {n: p.full_tensor() if hasattr(p, "full_tensor") else p for n, p in found.items()}
if rank == 0:
    torch.save(weights, out)
if world > 1:
    dist.barrier()
    dist.destroy_process_group()
"""


def train(folder, how, processes):
    script, out = folder / "train.py", folder / f"{how}.pt"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n" + SCRIPT)
    start = [sys.executable, "-W", "ignore"]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run([*start, str(script), how, str(out)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return torch.load(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return train(tmp_path_factory.mktemp("alone"), "alone", 1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fsdp", "replicate"])
def test_fsdp_and_replicate_on_two_processes_equal_one(tmp_path, alone, how):
    together = train(tmp_path, how, 2)
    for layer, expected in alone.items():
        assert list(expected) == list(together[layer]), layer
        for name, weight in expected.items():
            torch.testing.assert_close(together[layer][name], weight, rtol=1e-10, atol=1e-12, msg=f"{layer}: {name}")
