"""Experiments: the shipped ones parse, mistakes are named."""

from pathlib import Path

import pytest

from training.config import ConfigError, OcrConfig, load_config, parse_config
from training.train import main

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
MINIMUM = {"task": "ocr", "name": "x", "steps": 10, "batch_size": 32, "lr": 0.1}


@pytest.mark.parametrize("name", ["ocr", "ocr-seed"])
def test_shipped_experiments_parse(name: str) -> None:
    config = load_config(OcrConfig, CONFIGS / f"{name}.toml")
    assert config.name == name and config.steps > 0


def test_set_changes_one_field() -> None:
    changes = ["lr=3e-4", "widths=[8, 16]", "blocks=[0, 0]", "activation=damped"]
    config = load_config(OcrConfig, CONFIGS / "ocr.toml", changes)
    assert (config.lr, config.widths, config.activation) == (3e-4, (8, 16), "damped")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({**MINIMUM, "speed": 1}, "unknown key speed"),
        ({k: v for k, v in MINIMUM.items() if k != "lr"}, "missing key lr"),
        ({**MINIMUM, "steps": "10"}, "steps: '10', must be of type int"),
        ({**MINIMUM, "steps": 1.5}, "steps: 1.5, must be of type int"),
        ({**MINIMUM, "steps": True}, "steps: True, must be of type int"),
        ({**MINIMUM, "widths": [1, "a"]}, "widths: 'a', must be of type int"),
    ],
)
def test_mistakes_are_named(values: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_config(OcrConfig, values)


def test_an_integer_is_a_float_where_one_is_wanted() -> None:
    assert parse_config(OcrConfig, {**MINIMUM, "lr": 1}).lr == 1.0


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('task = "chess"\n')
    assert main([str(file)]) == 1
    assert "task: 'chess', must be ocr or cloze" in capsys.readouterr().err
    assert main([str(tmp_path / "none.toml")]) == 1
    with pytest.raises(ConfigError, match="must be key=value"):
        load_config(OcrConfig, CONFIGS / "ocr.toml", ["lr"])
