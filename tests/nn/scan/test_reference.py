"""The reference engine: recorded states, lengths and directions."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from seqgnn import nn as sg
from seqgnn.nn.scan.reference import is_recording, record_states, unroll


def test_record_states_nested_records_scans_until_block_ends():
    layer, x = sg.GRU(2, 3, num_layers=2), torch.zeros(4, 1, 2)
    with record_states() as outer:
        layer(x)
        with pytest.raises(RuntimeError), record_states() as inner:
            layer(x)
            raise RuntimeError
        layer(x)
    assert [len(outer), len(inner)] == [6, 2] and not is_recording()
    assert all(sorted(scan) == [0, 1, 2, 3] for scan in outer) and outer[2] is inner[0]
    layer(x)
    assert [len(outer), len(inner)] == [6, 2]


def test_record_states_leaves_values_and_gradients_as_they_are():
    layer, x = sg.GRU(2, 3), torch.randn(4, 1, 2, requires_grad=True)

    def gradients():
        output = layer(x)[0]
        return [output, *torch.autograd.grad(output.square().sum(), [x, *layer.parameters()])]

    expected = gradients()
    with record_states():
        torch.testing.assert_close(gradients(), expected)


def test_record_states_of_frozen_layers_are_nodes_of_the_graph():
    layer = sg.GRU(2, 3).requires_grad_(False)
    with record_states() as scans:
        output = layer(torch.randn(4, 1, 2))[0]
    slopes = torch.autograd.grad(output[3].sum(), [scans[0][step][0] for step in range(4)])
    assert all(slope.any() for slope in slopes) and torch.equal(slopes[3], torch.ones(1, 3))


def test_record_states_does_not_record_scans_of_other_threads():
    layer, x = sg.GRU(2, 3, engine="reference"), torch.zeros(4, 1, 2)
    recording, finished = threading.Event(), threading.Event()
    seen = []

    def record():
        with record_states() as scans:
            layer(x)
            recording.set()
            finished.wait(60)
        seen.append(len(scans))

    recorder = threading.Thread(target=record)
    recorder.start()
    assert recording.wait(60) and not is_recording()
    for _ in range(3):
        layer(x)
    with record_states() as scans:
        layer(x)
        finished.set()
        recorder.join()
        layer(x)
    assert seen == [1] and len(scans) == 2 and not is_recording()


@pytest.mark.traced
def test_record_states_of_another_thread_leaves_compiled_calls_alone():
    layer, x = sg.GRU(2, 3, engine="reference"), torch.randn(4, 1, 2)
    expected, _ = layer(x)
    compiled = torch.compile(layer, backend="eager")
    with ThreadPoolExecutor(1) as pool:
        block = record_states()
        scans = pool.submit(block.__enter__).result()
        assert torch.equal(compiled(x)[0], expected)
        pool.submit(block.__exit__, None, None, None).result()
    assert scans == []


def count_up(gx, project, state):
    """A cell that adds up its inputs."""
    h = state[0] + gx
    return h, (h,)


def test_unroll_of_a_sum_equals_hand_values():
    gx, start = torch.tensor([[1.0], [10.0], [100.0]]), (torch.tensor([0.5]),)
    output, (last,) = unroll(count_up, gx, [None] * 3, start)
    assert output.flatten().tolist() == [1.5, 11.5, 111.5] and last.item() == 111.5
    output, (last,) = unroll(count_up, gx, [None] * 3, start, reverse=True)
    assert output.flatten().tolist() == [111.5, 110.5, 100.5] and last.item() == 111.5


def test_unroll_of_ended_sequences_preserves_their_states():
    gx = torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]])
    active = torch.tensor([[[True], [True]], [[True], [False]]])
    output, (last,) = unroll(count_up, gx, [None] * 2, (torch.zeros(2, 1),), active)
    assert output.squeeze(-1).tolist() == [[1, 2], [11, 0]] and last.flatten().tolist() == [11, 2]
    output, (last,) = unroll(count_up, gx, [None] * 2, (torch.zeros(2, 1),), active, reverse=True)
    assert output.squeeze(-1).tolist() == [[11, 2], [10, 0]] and last.flatten().tolist() == [11, 2]
