#!/usr/bin/env bash
# Guess: a dataset with __getitems__ (one read for a whole batch) keeps it through the wrappers of
#   torch.utils.data; Subset and StackDataset pass it on, so ConcatDataset does, too.
# What happens: ConcatDataset has only __getitem__, so DataLoader silently reads one item at a
#   time. That also holds for dataset + dataset, which creates one, and for a Subset of one: its
#   __getitems__ falls back to single reads.
# Versions: torch 2.13.0, Python 3.11.
# Output seen (8 items in batches of 4):
#   dataset                {"single": 0, "batched": 2}
#   Subset                 {"single": 0, "batched": 2}
#   StackDataset           {"single": 0, "batched": 2}
#   ConcatDataset          {"single": 8, "batched": 0}
#   dataset + dataset      {"single": 8, "batched": 0}
#   Subset of Concat       {"single": 8, "batched": 0}
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0

cat > "$folder/probe.py" <<'PROGRAM'
import json

import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, StackDataset, Subset


class Numbers(Dataset):
    def __init__(self, length=8):
        self.length, self.reads = length, {"single": 0, "batched": 0}

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.reads["single"] += 1
        return torch.tensor(index)

    def __getitems__(self, indices):
        self.reads["batched"] += 1
        return [torch.tensor(index) for index in indices]


def reads(wrap):
    dataset = Numbers()
    for _ in DataLoader(wrap(dataset), batch_size=4):
        pass
    return dataset.reads


print("torch", torch.__version__)
wrappers = {
    "dataset": lambda dataset: dataset,
    "Subset": lambda dataset: Subset(dataset, range(8)),
    "StackDataset": StackDataset,
    "ConcatDataset": lambda dataset: ConcatDataset([dataset]),
    "dataset + dataset": lambda dataset: dataset + Numbers(0),
    "Subset of Concat": lambda dataset: Subset(ConcatDataset([dataset]), range(8)),
}
seen = {name: reads(wrap) for name, wrap in wrappers.items()}
for name, counts in seen.items():
    print(f"{name:22} {json.dumps(counts)}")
batched, single = {"single": 0, "batched": 2}, {"single": 8, "batched": 0}
assert list(seen.values()) == [batched] * 3 + [single] * 3, seen
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
