import pytest
import torch
import typer
from typer.testing import CliRunner

from seqgnn.cli._options import register
from seqgnn.cli.generate import generate, generate_options
from seqgnn.data.vocabulary import Vocabulary
from seqgnn.models import generation
from seqgnn.models import sequence_model as models
from seqgnn.models.sampling import SamplingConfig

ABC = Vocabulary("abc", [3, 5, 1])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build("gru", num_classes=3, num_tokens=3, per_element=True, hidden=5)


@pytest.fixture
def call(model, monkeypatch):
    from seqgnn.experiments.runs import text as text_training

    asked = []

    def load_model(path):
        asked.append(str(path))
        return model, ABC, {}

    monkeypatch.setattr(text_training, "load_model", load_model)
    app = typer.Typer()
    register(app, generate, generate_options)

    def call(*arguments):
        result = CliRunner().invoke(app, ["folder", *map(str, arguments)])
        assert asked == ["folder"]
        asked.clear()
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            assert result.output == ""
            raise result.exception
        assert result.exit_code == 0
        return result.output

    return call


def test_cli_generate_one_sample_follows_its_prompt(call, model):
    (text,) = generation.generate(model, ABC, "ab")
    assert call("--prompt", "ab") == f"ab{text}\n"
    assert len(call("--length", 7)) == 8


def test_cli_generate_options_are_passed_to_generate(call, model):
    for arguments, options in (
        (["--greedy"], {"sampling": SamplingConfig(greedy=True)}),
        (["--temperature", "0.5", "--seed", 3], {"sampling": SamplingConfig(temperature=0.5, seed=3)}),
        (["--temperature", "inf"], {"sampling": SamplingConfig(temperature=float("inf"))}),
        (["--inverse-temperature", "2"], {"sampling": SamplingConfig(inverse_temperature=2.0)}),
        (["--top-k", 2, "--top-p", "0.7"], {"sampling": SamplingConfig(top_k=2, top_p=0.7)}),
        (["--stop", "c"], {"stop": "c"}),
        (["--beam", 3, "--length-penalty", "0.5", "--stop", "c"], {"beam": 3, "length_penalty": 0.5, "stop": "c"}),
        (["--device", "cpu"], {"device": "cpu"}),
    ):
        (text,) = generation.generate(model, ABC, "ab", length=30, **options)
        assert call("--prompt", "ab", "--length", 30, *arguments) == f"ab{text}\n"
    (text,) = generation.generate(model, ABC, "ab", length=5)
    assert call("--prompt", "aäb", "--length", 5, "--on-unknown", "skip") == f"aäb{text}\n"


@pytest.mark.parametrize("beam", [[], ["--beam", 4]])
def test_cli_generate_several_samples_are_numbered_in_order(call, model, beam):
    texts = generation.generate(model, ABC, "b", length=9, samples=3, beam=4 if beam else None)
    expected = "".join(f"--- {i} of 3 ---\nb{text}\n" for i, text in enumerate(texts, start=1))
    assert call("--prompt", "b", "--length", 9, "--samples", 3, *beam) == expected


def test_cli_generate_prints_each_character_at_once(call, monkeypatch):
    printed = []
    monkeypatch.setattr("builtins.print", lambda *values, **options: printed.append((values, options)))
    call("--prompt", "ab", "--length", 3)
    assert [len(values) for values, _ in printed] == [1, 1, 1, 1, 0]
    assert printed[0] == (("ab",), {"end": "", "flush": True})
    assert all(options["flush"] and values[0] in "abc" for values, options in printed[1:-1])


def test_cli_generate_bad_input_raises_before_any_output(call):
    for arguments, message in (
        (["--prompt", "aäb"], "'ä'"),
        (["--on-unknown", "drop"], "expected on_unknown to be one of 'error', 'skip', got 'drop'"),
        (["--greedy", "--temperature", "2"], "greedy cannot be combined with temperature"),
        (["--length-penalty", "2"], "length_penalty"),
    ):
        with pytest.raises(ValueError, match=message):
            call(*arguments)
