import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from seqgnn.data import TemporalGraph
from seqgnn.training import loop
from seqgnn.training.loop import evaluate, fit
from tests.support.training_tasks import Broken, FirstOfTwo, Linear, ParityModel, RunningSums, config


def test_fit_of_linear_map_has_one_loss_per_step_and_converges():
    seen = []
    result = fit(Linear(), FirstOfTwo(), config(), seed=0, on_step=lambda *point: seen.append(point))
    assert result.steps == 40 and result.stopped == "steps"
    assert len(result.losses) == len(result.accuracies) == 40
    assert seen == [(i + 1, result.losses[i], result.accuracies[i]) for i in range(40)]
    assert result.losses[0] == pytest.approx(math.log(2))
    assert [point.step for point in result.validation] == [10, 20, 30, 40]
    assert result.validation[-1].accuracy > 0.9


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adamw", "sgd"])
def test_fit_first_update_equals_that_of_torch_optimizer(optimizer):
    """One step from zero weights against torch's optimizer on the same batch, clipped by hand."""
    task, model = FirstOfTwo(), Linear()
    decay = 0.3 if optimizer == "adamw" else 0.0
    fit(model, task, config(steps=1, optimizer=optimizer, lr=0.1, max_grad_norm=0.05, weight_decay=decay), seed=3)
    expected = Linear()
    loss = nn.functional.cross_entropy(expected.map(task.drawn[0]), (task.drawn[0][:, 0] > 0).long())
    loss.backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in expected.parameters()))
    assert norm > 0.05
    for p in expected.parameters():
        p.grad.mul_(0.05 / (norm + 1e-6))
    kind, options = {
        "rmsprop": (torch.optim.RMSprop, {}),
        "adam": (torch.optim.Adam, {}),
        "adamw": (torch.optim.AdamW, {"weight_decay": 0.3}),
        "sgd": (torch.optim.SGD, {"momentum": 0.9}),
    }[optimizer]
    optim = kind(expected.parameters(), lr=0.1, **options)
    optim.step()
    for got, want in zip(model.parameters(), expected.parameters()):
        torch.testing.assert_close(got, want)


def test_fit_same_seed_is_identical_and_leaves_random_state():
    def run(seed):
        model = Linear(dropout=0.5)
        before = torch.random.get_rng_state()
        result = fit(model, FirstOfTwo(), config(), seed=seed)
        assert torch.equal(torch.random.get_rng_state(), before)
        return result, model.map.weight.detach().clone()

    first, weights = run(5)
    again, same = run(5)
    other, _ = run(6)
    assert first == again and torch.equal(weights, same)
    assert first.losses != other.losses


def test_fit_with_one_seed_draws_the_same_batches():
    tasks = FirstOfTwo(), FirstOfTwo()
    fit(Linear(), tasks[0], config(), seed=2)
    fit(Linear(dropout=0.3), tasks[1], config(eval_every=7), seed=2)
    assert all(torch.equal(a, b) for a, b in zip(tasks[0].drawn, tasks[1].drawn, strict=True))


def test_fit_returns_best_weights_on_validation():
    """With flipped validation targets every update makes validation worse, so the first look is the best one."""
    model, short = Linear(), Linear()
    result = fit(model, FirstOfTwo(flip_validation=True), config(monitor="loss"), seed=0)
    assert result.best_step == 10 and result.steps == 40
    fit(short, FirstOfTwo(flip_validation=True), config(steps=10, monitor="loss"), seed=0)
    assert torch.equal(model.map.weight, short.map.weight)


def test_fit_monitor_is_accuracy_with_loss_as_tie_breaker():
    result = fit(Linear(), FirstOfTwo(), config(steps=200), seed=0)
    best = max(result.validation, key=lambda point: (point.accuracy, -point.loss))
    assert result.best_step == best.step


def test_fit_stops_at_the_evaluation_with_target_accuracy():
    result = fit(Linear(), FirstOfTwo(), config(steps=400, target_accuracy=0.95), seed=0)
    assert result.stopped == "solved" and result.steps < 400 and result.steps % 10 == 0
    assert result.validation[-1].accuracy >= 0.95
    assert all(point.accuracy < 0.95 for point in result.validation[:-1])
    assert result.best_step == result.steps


def test_fit_converged_run_ends_with_an_evaluation():
    result = fit(Linear(), FirstOfTwo(), config(steps=1000, min_steps=101, tolerance=10.0, eval_every=70), seed=0)
    assert (result.stopped, result.steps) == ("converged", 101)
    assert [point.step for point in result.validation] == [70, 101]


def test_evaluate_is_independent_of_batch_size():
    task, model = FirstOfTwo(), Linear(dropout=0.5)
    nn.init.constant_(model.map.weight[0], -1.0)
    model.train()
    one, many = evaluate(model, task.validation(96)), evaluate(model, task.validation(7))
    assert model.training
    assert one.count == many.count == 96 and one.accuracy == many.accuracy
    assert one.loss == pytest.approx(many.loss, rel=1e-6)
    batch = next(iter(task.validation(96)))
    assert one.loss == pytest.approx(nn.functional.cross_entropy(model.map(batch.x), batch.y).item(), rel=1e-6)


def test_fit_in_bf16_has_float32_weights():
    model = Linear()
    result = fit(model, FirstOfTwo(), config(precision="bf16"), seed=0)
    assert model.map.weight.dtype == torch.float32
    assert result.validation[-1].accuracy > 0.9
    assert result.losses != fit(Linear(), FirstOfTwo(), config(), seed=0).losses


def test_fit_exploding_loss_names_its_step():
    with pytest.raises(ValueError, match=r"loss is (inf|nan) at step \d+; try a lower lr"):
        large = Broken(lambda batch: batch.update({"x": 1e5 * batch.x}))
        fit(Linear(), large, config(optimizer="sgd", lr=1e37, max_grad_norm=None), seed=0)


def test_nonfinite_data_of_rows_and_graphs_are_named():
    x = torch.zeros(32, 2)
    assert loop._nonfinite_data(Batch(x=x)) == ""
    x[5, 1] = torch.nan
    assert loop._nonfinite_data(Batch(x=x)) == ": its batch has nan in x at sample 5"
    graphs = Batch(x=x, ptr=torch.arange(0, 33, 4))  # of four nodes: row 5 is node 1 of the second
    assert loop._nonfinite_data(graphs) == ": its batch has nan in x at sample 1, node 1"


def test_nonfinite_data_of_windows_are_named_unless_masked():
    signal, edges = torch.arange(20.0).reshape(10, 2, 1), torch.tensor([[0], [1]])
    batch = next(iter(TemporalGraph(signal, edges).windows(lags=3, horizon=2).loader(4)))
    mask = torch.ones_like(batch.y, dtype=torch.bool)
    mask[1, 2, 0] = False
    y = batch.y.masked_fill(~mask, torch.inf)
    assert loop._nonfinite_data(batch) == loop._nonfinite_data(replace(batch, y=y, mask=mask)) == ""
    expected = ": its batch has inf in y at time step 1 of sample 2, node 0"
    assert loop._nonfinite_data(replace(batch, y=y)) == expected


def test_evaluate_empty_or_nan_raises_value_error():
    with pytest.raises(ValueError, match="at least one target"):
        evaluate(Linear(), [])
    model = Linear()
    nn.init.constant_(model.map.weight, math.nan)
    with pytest.raises(ValueError, match="finite loss, got nan over 96 targets"):
        evaluate(model, FirstOfTwo().validation(50))
    with pytest.raises(ValueError, match="did you mean 'bf16'"):
        evaluate(model, [], precision="bf18")


@pytest.mark.gpu
def test_fit_on_gpu_has_losses_close_to_cpu():
    curves = [fit(Linear(), FirstOfTwo(), config(), seed=0, device=device).losses for device in ("cpu", "cuda")]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_fit_uses_the_learning_rate_of_the_schedule():
    """With sgd without momentum, an update is the learning rate times the gradient."""
    task, model = FirstOfTwo(), Linear()
    weights = []
    settings = config(
        steps=3, optimizer="sgd", momentum=0.0, max_grad_norm=None, lr=0.5, schedule="step", decay=0.1, decay_every=2
    )
    fit(model, task, settings, seed=3, on_step=lambda *_: weights.append(model.map.weight.detach().clone()))
    expected = Linear()
    for number, x in enumerate(task.drawn[:3]):
        expected.zero_grad()
        nn.functional.cross_entropy(expected.map(x), (x[:, 0] > 0).long()).backward()
        with torch.no_grad():
            for p in expected.parameters():
                p -= (0.05 if number == 2 else 0.5) * p.grad
        torch.testing.assert_close(weights[number], expected.map.weight.detach())


def test_fit_monitor_last_returns_the_last_weights():
    result = fit(Linear(), FirstOfTwo(flip_validation=True), config(monitor="last"), seed=0)
    assert result.best_step == 40 and result.validation[-1].loss > result.validation[0].loss


def test_fit_patience_stops_after_no_improvement():
    class Backwards(FirstOfTwo):
        def validation(self, batch_size):
            for batch in super().validation(batch_size):
                batch.y = 1 - batch.y
                yield batch

    result = fit(Linear(), Backwards(), config(steps=200, patience=3, monitor="loss"), seed=0)
    assert result.stopped == "no better" and result.best_step == 10 and result.steps == 40


def test_fit_stateful_streams_pass_state_without_gradient():
    model = ParityModel()
    settings = config(steps=12, batch_size=4, eval_batch_size=4, eval_every=100, stateful=True, max_grad_norm=None)
    result = fit(model, RunningSums(), settings, seed=0)
    trained = model.states[:12]
    assert [state is None for state in trained] == [True, False, False, False, False] * 2 + [True, False]
    assert not any(state[0] for state in trained if state is not None)
    assert result.accuracies == [1.0] * 12 and result.validation[-1].accuracy == 1.0
    alone = evaluate(model, RunningSums().streams("validation", 4), stateful=False)
    assert alone.accuracy < 1.0


def test_evaluate_stateful_streams_that_end_drop_their_state():
    class Shrinking(RunningSums):
        def streams(self, part, batch_size):
            for window, count in enumerate((4, 4, 2)):
                batch = self.stream(batch_size, window)[0]
                yield Batch(x=batch.x[:, :count], y=batch.y.view(3, -1)[:, :count].flatten(), num_graphs=count)

    assert evaluate(ParityModel(), Shrinking().streams("validation", 4), stateful=True).accuracy == 1.0


def test_fit_nan_validation_loss_restores_the_best_weights():
    class Lost(Linear):
        looks = 0

        def forward(self, batch, state=None):
            if not self.training:
                self.looks += 1
            return self.map(batch.x) * (float("nan") if self.looks == 3 else 1.0), None

    model, before = Lost(), []
    message = "loss is nan on validation after step 15; the model has the best weights so far, from step 10; try"
    with pytest.raises(ValueError, match=message):
        fit(
            model,
            FirstOfTwo(),
            config(eval_every=5, eval_batch_size=96),
            seed=0,
            on_step=lambda step, *_: before.append(model.map.weight.detach().clone()),
        )
    assert torch.equal(model.map.weight, before[9])
