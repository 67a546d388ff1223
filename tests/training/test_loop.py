import math

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from seqgnn.training.checkpoint import BEST, LAST, Checkpoints, read_checkpoint
from seqgnn.training.loop import TrainConfig, evaluate, fit, has_converged, learning_rate


class FirstOfTwo:
    """Two numbers a sample, the target is the sign of the first: learned by a linear map in a few dozen steps."""

    def __init__(self, flip_validation: bool = False) -> None:
        self.flip_validation = flip_validation
        self.drawn: list[torch.Tensor] = []

    def draw(self, batch_size, generator):
        x = torch.randn(batch_size, 2, generator=generator)
        self.drawn.append(x)
        return Batch(x=x, y=(x[:, 0] > 0).long())

    def validation(self, batch_size):
        x = torch.randn(96, 2, generator=torch.Generator().manual_seed(99))
        y = (x[:, 0] > 0).long()
        if self.flip_validation:
            y = 1 - y
        for part in range(0, 96, batch_size):
            yield Batch(x=x[part : part + batch_size], y=y[part : part + batch_size])

    def test(self, batch_size):
        raise RuntimeError("training looked at the test set")


class Linear(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.map = nn.Linear(2, 2)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, batch, state=None):
        return self.map(self.dropout(batch.x)), None


def config(**changes):
    return TrainConfig(**{"steps": 40, "batch_size": 32, "lr": 0.02, "eval_every": 10, **changes})


def test_a_linear_map_is_learned_and_curves_have_one_point_a_step():
    seen = []
    result = fit(Linear(), FirstOfTwo(), config(), seed=0, on_step=lambda *point: seen.append(point))
    assert result.steps == 40 and result.stopped == "steps"
    assert len(result.losses) == len(result.accuracies) == 40
    assert seen == [(i + 1, result.losses[i], result.accuracies[i]) for i in range(40)]
    assert result.losses[0] == pytest.approx(math.log(2))
    assert [point.step for point in result.validation] == [10, 20, 30, 40]
    assert result.validation[-1].accuracy > 0.9


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adamw", "sgd"])
def test_the_first_update_is_the_optimizers(optimizer):
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


def test_same_seed_same_bits_and_the_callers_random_state_is_untouched():
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


def test_models_with_one_seed_see_the_same_batches():
    tasks = FirstOfTwo(), FirstOfTwo()
    fit(Linear(), tasks[0], config(), seed=2)
    fit(Linear(dropout=0.3), tasks[1], config(eval_every=7), seed=2)
    assert all(torch.equal(a, b) for a, b in zip(tasks[0].drawn, tasks[1].drawn, strict=True))


def test_the_best_weights_on_validation_are_kept():
    """With flipped validation targets every update makes validation worse, so the first look is the best one."""
    model, short = Linear(), Linear()
    result = fit(model, FirstOfTwo(flip_validation=True), config(monitor="loss"), seed=0)
    assert result.best_step == 10 and result.steps == 40
    fit(short, FirstOfTwo(flip_validation=True), config(steps=10, monitor="loss"), seed=0)
    assert torch.equal(model.map.weight, short.map.weight)


def test_accuracy_selects_by_default_and_loss_breaks_ties():
    result = fit(Linear(), FirstOfTwo(), config(steps=200), seed=0)
    best = max(result.validation, key=lambda point: (point.accuracy, -point.loss))
    assert result.best_step == best.step


def test_a_solved_run_ends_at_the_look_that_saw_it():
    result = fit(Linear(), FirstOfTwo(), config(steps=400, target_accuracy=0.95), seed=0)
    assert result.stopped == "solved" and result.steps < 400 and result.steps % 10 == 0
    assert result.validation[-1].accuracy >= 0.95
    assert all(point.accuracy < 0.95 for point in result.validation[:-1])
    assert result.best_step == result.steps


def test_convergence_rule():
    rule = TrainConfig(min_steps=120, tolerance=0.01)
    flat = [1.0] * 200
    assert not has_converged(flat[:119], rule) and has_converged(flat[:120], rule)
    assert not has_converged(flat[:99], TrainConfig(min_steps=1))
    assert not has_converged([*flat, 1.02], rule)  # 1.02 - (99 + 1.02) / 100 = 0.0198
    assert has_converged([*flat, 1.01], rule)  # 1.01 - 1.0001 = 0.0099
    assert not has_converged(flat, TrainConfig())


def test_a_converged_run_ends_with_a_last_look():
    result = fit(Linear(), FirstOfTwo(), config(steps=1000, min_steps=101, tolerance=10.0, eval_every=70), seed=0)
    assert (result.stopped, result.steps) == ("converged", 101)
    assert [point.step for point in result.validation] == [70, 101]


def test_evaluation_counts_answers_not_batches():
    task, model = FirstOfTwo(), Linear(dropout=0.5)
    nn.init.constant_(model.map.weight[0], -1.0)
    model.train()
    one, many = evaluate(model, task.validation(96)), evaluate(model, task.validation(7))
    assert model.training
    assert one.count == many.count == 96 and one.accuracy == many.accuracy
    assert one.loss == pytest.approx(many.loss, rel=1e-6)
    batch = next(iter(task.validation(96)))
    assert one.loss == pytest.approx(nn.functional.cross_entropy(model.map(batch.x), batch.y).item(), rel=1e-6)


def test_bf16_trains_and_keeps_float32_weights():
    model = Linear()
    result = fit(model, FirstOfTwo(), config(precision="bf16"), seed=0)
    assert model.map.weight.dtype == torch.float32
    assert result.validation[-1].accuracy > 0.9
    assert result.losses != fit(Linear(), FirstOfTwo(), config(), seed=0).losses


class Broken(FirstOfTwo):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def draw(self, batch_size, generator):
        batch = super().draw(batch_size, generator)
        if len(self.drawn) == 3:
            self.change(batch)
        return batch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch.x.fill_(math.nan), "expected finite x, got 64 NaN or infinite values"),
        (lambda batch: batch.update({"y": batch.y.float()}), r"expected targets of torch.int64, .* got torch.float32"),
        (lambda batch: batch.update({"y": None}), r"expected targets of torch.int64, .* got NoneType"),
        (lambda batch: batch.update({"y": batch.y[:0]}), r"expected targets of torch.int64, at least one, got"),
        (lambda batch: batch.y.fill_(2), r"expected targets in 0\.\.1, got 2\.\.2"),
        (lambda batch: batch.y.fill_(-1), r"got -1\.\.-1"),
        (lambda batch: batch.update({"y": batch.y[:5]}), r"got \(32, 2\) and \(5,\)"),
    ],
)
def test_bad_batches_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        fit(Linear(), Broken(change), config(), seed=0)


def test_a_loss_that_explodes_names_its_step():
    with pytest.raises(ValueError, match=r"loss is (inf|nan) at step \d+; try a lower lr"):
        large = Broken(lambda batch: batch.update({"x": 1e5 * batch.x}))
        fit(Linear(), large, config(optimizer="sgd", lr=1e37, max_grad_norm=None), seed=0)


def test_evaluation_of_nothing_or_of_nan():
    with pytest.raises(ValueError, match="at least one target"):
        evaluate(Linear(), [])
    model = Linear()
    nn.init.constant_(model.map.weight, math.nan)
    with pytest.raises(ValueError, match="finite loss, got nan over 96 targets"):
        evaluate(model, FirstOfTwo().validation(50))
    with pytest.raises(ValueError, match="did you mean 'bf16'"):
        evaluate(model, [], precision="bf18")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps to be an integer of at least 1, got 0"),
        ({"steps": 2.5}, "got 2.5"),
        ({"steps": None}, "expected steps or seconds that end a run, got neither"),
        ({"steps": None, "max_seconds": 1.0, "schedule": "cosine"}, "expected steps with schedule 'cosine'"),
        ({"batch_size": True}, "batch_size .* got True"),
        ({"eval_every": -1}, "eval_every"),
        ({"eval_batch_size": None}, "eval_batch_size .* got None"),
        ({"min_steps": 0}, "min_steps"),
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"monitor": "test"}, "monitor"),
        ({"precision": "fp32"}, "precision"),
        ({"lr": 0.0}, "lr to be a number above 0 and at most 1e37"),
        ({"lr": math.nan}, "got nan"),
        ({"lr": "1e-3"}, "got '1e-3'"),
        ({"max_grad_norm": -1.0}, "max_grad_norm"),
        ({"tolerance": 0}, "tolerance"),
        ({"tolerance": None}, "tolerance"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\)"),
        ({"target_accuracy": 1.5}, r"target_accuracy in \(0, 1\]"),
    ],
)
def test_configurations_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


@pytest.mark.gpu
def test_cpu_and_gpu_agree():
    curves = [fit(Linear(), FirstOfTwo(), config(), seed=0, device=device).losses for device in ("cpu", "cuda")]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_learning_rates_are_those_of_torchs_schedulers(schedule):
    settings = config(schedule=schedule, decay=0.5, decay_every=7)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], settings.lr)
    scheduler = {
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps),
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 7, gamma=0.5),
    }[schedule]()
    for step in range(1, settings.steps + 1):
        assert learning_rate(step, settings) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_the_learning_rate_of_the_schedule_is_used():
    """Under sgd without momentum a step is the learning rate times the gradient."""
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


def test_the_last_weights_can_be_kept_whatever_their_score():
    result = fit(Linear(), FirstOfTwo(flip_validation=True), config(monitor="last"), seed=0)
    assert result.best_step == 40 and result.validation[-1].loss > result.validation[0].loss


def test_patience_ends_a_run_that_gets_no_better():
    class Backwards(FirstOfTwo):
        def validation(self, batch_size):
            for batch in super().validation(batch_size):
                batch.y = 1 - batch.y
                yield batch

    result = fit(Linear(), Backwards(), config(steps=200, patience=3, monitor="loss"), seed=0)
    assert result.stopped == "no better" and result.best_step == 10 and result.steps == 40


class Walk:
    """Streams of running sums: with its state carried a model knows the answer, without it does not."""

    num_streams = 4

    def stream(self, batch_size, index):
        window = index % 5
        steps = torch.randint(0, 2, (15, batch_size), generator=torch.Generator().manual_seed(7))
        part = slice(3 * window, 3 * window + 3)
        y = steps.cumsum(0)[part] % 2
        return Batch(x=steps[part].float(), y=y.flatten(), num_graphs=batch_size), window == 0

    def streams(self, part, batch_size):
        assert part == "validation"
        for window in range(5):
            yield self.stream(batch_size, window)[0]


class Sums(nn.Module):
    """Answers with the parity of the running sum; the state is `[1, B]`."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.states = []

    def forward(self, batch, state=None):
        self.states.append(None if state is None else (state.requires_grad, state.clone()))
        start = torch.zeros(1, batch.x.shape[1]) if state is None else state
        total = batch.x.cumsum(0) + start
        odd = (total % 2).flatten()
        return self.scale * torch.stack([-odd, odd - 1], 1), total[-1:] + 0 * self.scale


def test_streams_carry_their_state_without_gradient():
    model = Sums()
    settings = config(steps=12, batch_size=4, eval_batch_size=4, eval_every=100, stateful=True, max_grad_norm=None)
    result = fit(model, Walk(), settings, seed=0)
    trained = model.states[:12]
    assert [state is None for state in trained] == [True, False, False, False, False] * 2 + [True, False]
    assert not any(state[0] for state in trained if state is not None)
    assert result.accuracies == [1.0] * 12 and result.validation[-1].accuracy == 1.0
    alone = evaluate(model, Walk().streams("validation", 4), stateful=False)
    assert alone.accuracy < 1.0


def test_where_streams_end_their_states_go():
    class Shrinking(Walk):
        def streams(self, part, batch_size):
            for window, count in enumerate((4, 4, 2)):
                batch = self.stream(batch_size, window)[0]
                yield Batch(x=batch.x[:, :count], y=batch.y.view(3, -1)[:, :count].flatten(), num_graphs=count)

    assert evaluate(Sums(), Shrinking().streams("validation", 4), stateful=True).accuracy == 1.0


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adamw", "sgd"])
def test_a_run_in_pieces_is_the_run_in_one(tmp_path, optimizer):
    settings = config(steps=25, eval_every=4, optimizer=optimizer, schedule="cosine")
    whole, model = Linear(dropout=0.5), Linear(dropout=0.5)
    expected = fit(whole, FirstOfTwo(), settings, seed=5, checkpoints=Checkpoints(tmp_path / "whole", 6))
    calls = iter(range(1000))
    for number in range(20):
        model = Linear(dropout=0.5)
        if number > 0:
            torch.nn.init.ones_(model.map.weight)  # whatever it starts from
        before = torch.get_rng_state()
        checkpoints = Checkpoints(tmp_path / "pieces", 6)
        piece = fit(model, FirstOfTwo(), settings, seed=5, checkpoints=checkpoints, stop=lambda: next(calls) % 3 == 2)
        assert torch.equal(torch.get_rng_state(), before)
        if piece.stopped != "interrupted":
            break
    assert piece == expected
    for got, want in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(got, want)
    for name in (LAST, BEST):
        (got, about), (want, expected_about) = (read_checkpoint(tmp_path / p / name) for p in ("pieces", "whole"))
        for info in (about, expected_about):
            info["training"].pop("measured", None)  # seconds
        assert about == expected_about and got.keys() == want.keys()
        assert all(torch.equal(got[key], want[key]) for key in want)
    assert fit(model, FirstOfTwo(), settings, seed=5, checkpoints=Checkpoints(tmp_path / "pieces", 6)) == expected


def test_a_carried_state_is_saved(tmp_path):
    settings = config(steps=12, batch_size=4, eval_batch_size=4, eval_every=5, stateful=True, max_grad_norm=None)
    expected = fit(Sums(), Walk(), settings, seed=0)
    first = iter([False, False, False, True])
    stopped = fit(Sums(), Walk(), settings, seed=0, checkpoints=Checkpoints(tmp_path), stop=lambda: next(first))
    assert stopped.stopped == "interrupted" and stopped.steps == 4
    model = Sums()
    assert fit(model, Walk(), settings, seed=0, checkpoints=Checkpoints(tmp_path)) == expected
    assert model.states[0] is not None


def test_more_steps_can_be_asked_for_and_nothing_else(tmp_path):
    settings = config(steps=10)
    fit(Linear(), FirstOfTwo(), settings, seed=5, checkpoints=Checkpoints(tmp_path))
    more = fit(Linear(), FirstOfTwo(), config(steps=30), seed=5, checkpoints=Checkpoints(tmp_path))
    assert more == fit(Linear(), FirstOfTwo(), config(steps=30), seed=5)
    with pytest.raises(ValueError, match=r"expected the configuration of the run in .*, got lr=0.5 instead of 0.02"):
        fit(Linear(), FirstOfTwo(), config(steps=30, lr=0.5), seed=5, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(ValueError, match="got seed=6 instead of 5"):
        fit(Linear(), FirstOfTwo(), config(steps=30), seed=6, checkpoints=Checkpoints(tmp_path))


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(tmp_path):

    class Huge(Linear):
        def forward(self, batch, state=None):
            return self.map(batch.x) * (float("inf") if len(task.drawn) == 8 else 1.0), None

    task = FirstOfTwo()
    with pytest.raises(
        ValueError, match=r"loss is nan at step 8; try a lower lr or a"
    ):
        fit(Huge(), task, config(), seed=5, checkpoints=Checkpoints(tmp_path, 3))
    assert read_checkpoint(tmp_path / LAST)[1]["training"]["step"] == 6


def test_a_validation_loss_that_is_not_finite_names_the_step_and_leaves_the_best_weights():
    class Lost(Linear):
        looks = 0

        def forward(self, batch, state=None):
            if not self.training:
                self.looks += 1
            return self.map(batch.x) * (float("nan") if self.looks == 3 else 1.0), None

    model, before = Lost(), []
    message = "loss is nan on validation after step 15; the model has the best weights, of step 10; try a lower lr"
    with pytest.raises(ValueError, match=message):
        fit(
            model,
            FirstOfTwo(),
            config(eval_every=5, eval_batch_size=96),
            seed=0,
            on_step=lambda step, *_: before.append(model.map.weight.detach().clone()),
        )
    assert torch.equal(model.map.weight, before[9])


def test_another_models_checkpoint_is_refused(tmp_path):
    fit(Linear(), FirstOfTwo(), config(steps=2), seed=5, checkpoints=Checkpoints(tmp_path))
    other = Linear()
    other.map = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"expected the model of the run in .*, got .*size mismatch"):
        fit(other, FirstOfTwo(), config(steps=2), seed=5, checkpoints=Checkpoints(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "cosin"}, "expected schedule .*, got 'cosin'.* did you mean 'cosine'"),
        ({"weight_decay": 0.1}, "expected optimizer 'adamw' with weight_decay, got 'rmsprop'"),
        ({"weight_decay": -1.0}, "expected weight_decay of at least 0, got -1.0"),
        ({"decay": 0.0}, r"expected decay in \(0, 1\], got 0.0"),
        ({"decay_every": 0}, "expected decay_every to be an integer of at least 1, got 0"),
        ({"patience": 0}, "expected patience to be an integer of at least 1, got 0"),
    ],
)
def test_new_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        config(**change)
