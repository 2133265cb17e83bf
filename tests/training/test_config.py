"""Experiments: the shipped ones parse, mistakes are named."""

from pathlib import Path

import pytest

from tianzi_training.config import ClozeConfig, ConfigError, OcrConfig, load_config, parse_config, read_experiment
from tianzi_training.train import main

TRAINING = Path(__file__).parents[2] / "training/tianzi_training"
CONFIGS = TRAINING / "configs"
SHIPPED = {path.stem: path for path in sorted(CONFIGS.glob("*.toml"))}
SHIPPED |= {path.parent.name: path for path in sorted(TRAINING.glob("*/recipe.toml"))}
MINIMUM = {"task": "ocr", "name": "x", "steps": 10, "batch_size": 32, "lr": 0.1}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_experiments_parse(name: str) -> None:
    config = load_config(OcrConfig if name.startswith("ocr") else ClozeConfig, SHIPPED[name])
    assert config.name == name and config.steps > 0


def test_the_blank_fillers_recipe_holds_out_what_it_trains_on() -> None:
    config = load_config(ClozeConfig, SHIPPED["cloze"])
    sources = config.long | config.short
    assert {*config.held_out, *config.most_characters} <= set(sources)
    assert sum(config.long.values()) == pytest.approx(1, abs=0.02)
    assert sum(config.short.values()) == pytest.approx(1, abs=0.02)


def test_an_experiment_has_what_its_base_sets_and_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('task = "cloze"\nname = "a"\nsteps = 9\nlr = 0.1\n[sources]\nx = 1.0\n')
    (tmp_path / "b.toml").write_text('base = "a"\nname = "b"\nlr = 0.2\n[sources]\ny = 1.0\n')
    (tmp_path / "c.toml").write_text('base = "b"\nsteps = 7\n')
    expected = {"task": "cloze", "name": "b", "steps": 7, "lr": 0.2, "sources": {"y": 1.0}}
    assert read_experiment(tmp_path / "c.toml") == expected


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
