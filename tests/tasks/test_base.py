"""The base classes of tasks: sets drawn once, and a test set that is closed until selection is done."""

import pytest
import torch

from seqgnn.data import Palindromes
from seqgnn.tasks import CharText
from seqgnn.tasks.base import HeldOutTask


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_held_out_task_closes_the_test_set_until_open():
    task = HeldOutTask(Palindromes(6, test_size=8))
    for use in (lambda: task.test(4), lambda: task.test_ids):
        with pytest.raises(ValueError, match=r"expected no use of the test set before open\(\), got Palindromes.test"):
            use()
    assert next(iter(task.open().test(4))).num_graphs == 4


def test_held_out_task_passes_everything_else_on():
    inner = Palindromes(6)
    task = HeldOutTask(inner)
    assert (task.length, task.num_classes, task.hops) == (inner.length, inner.num_classes, inner.hops)
    assert torch.equal(task.draw(4, generator()).x, inner.draw(4, generator()).x)
    assert torch.equal(next(task.validation(4)).x, next(inner.validation(4)).x)


def test_held_out_task_closes_the_test_streams_only():
    task = HeldOutTask(CharText(length=8))
    assert next(task.streams("validation", 2)).num_graphs == 2
    with pytest.raises(ValueError, match=r"got CharText.streams\('test'\)"):
        task.streams("test", 2)


def test_fixed_sets_depend_on_seed_and_part_only():
    def sets(task):
        return [torch.cat([batch.x for batch in part(7)]) for part in (task.validation, task.test)]

    sizes = {"validation_size": 20, "test_size": 20}
    first = Palindromes(6, **sizes)
    first.draw(5, generator())
    validation, test = sets(first)
    assert not torch.equal(validation, test)
    assert all(map(torch.equal, sets(Palindromes(6, **sizes)), (validation, test)))
    assert not torch.equal(sets(Palindromes(6, **sizes, seed=1))[0], validation)


def test_cached_sets_work_in_training_after_inference_mode():
    task = Palindromes(6, validation_size=4)
    with torch.inference_mode():
        list(task.validation(4))
    assert not any(tensor.is_inference() for tensor in task._fixed["validation"])


def test_wrong_sizes_are_rejected():
    for options in ({"validation_size": 0}, {"test_size": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"Palindromes: expected {next(iter(options))} to be an integer"):
            Palindromes(6, **options)
