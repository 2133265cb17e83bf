"""What is done to pictures is what its name says, the networks learn, and the study runs at both sizes."""

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from studies import fashion_mnist
from studies.convnets import MobileNet, WideResNet, cutout, flip, shift
from studies.fashion_mnist import NETS, SETTINGS, compose
from studies.images import FASHION
from studies.report import Options
from tests.training.studies.conftest import draw_digits, write_idx
from tianzi_training.config import ConfigError


def pictures(count: int = 400, side: int = 28) -> torch.Tensor:
    return torch.randint(1, 256, (count, 1, side, side), dtype=torch.uint8)


def test_half_of_the_pictures_are_mirrored() -> None:
    x = pictures()
    y = flip(x, torch.Generator().manual_seed(0))
    same = [torch.equal(a, b) for a, b in zip(x, y, strict=True)]
    assert 150 < sum(same) < 250
    assert all(kept or torch.equal(a.flip(2), b) for kept, a, b in zip(same, x, y, strict=True))


def test_pictures_are_moved_each_its_own_way() -> None:
    x = pictures(200)
    y = shift(x, torch.Generator().manual_seed(0))
    found = set()
    for before, after in zip(x, y, strict=True):
        padded = torch.nn.functional.pad(before, (2,) * 4)[0]
        ways = [(r, c) for r in range(5) for c in range(5) if torch.equal(padded[r : r + 28, c : c + 28], after[0])]
        assert len(ways) == 1
        found.update(ways)
    assert len(found) == 25


def test_a_square_is_cut_out() -> None:
    x = pictures()
    y = cutout(x, torch.Generator().manual_seed(0))
    black = (y == 0).flatten(1).sum(1)
    assert black.max() == 64 and black.min() >= 16
    assert ((y == 0) | (y == x)).all()
    for one in y[:50, 0] == 0:  # a rectangle, whole
        assert one.any(1).sum() * one.any(0).sum() == one.sum()


def test_changes_follow_each_other() -> None:
    x = pictures(8)
    both = compose(("flip", "cutout"))
    assert compose(()) is None and both is not None
    rng = torch.Generator().manual_seed(1)
    assert torch.equal(both(x, torch.Generator().manual_seed(1)), cutout(flip(x, rng), rng))


def test_the_full_networks_are_those_that_are_named() -> None:
    def weights(net: torch.nn.Module) -> int:
        return sum(p.numel() for p in net.parameters())

    # WRN-40-4 has 8.9 M (arXiv:1605.07146 table 4), MobileNet 4.2 M with 1,000 classes, of which the head has 1.0 M.
    assert 8.8e6 < weights(NETS["full"]["wide ResNet"]()) < 9.0e6
    assert 3.1e6 < weights(NETS["full"]["MobileNet"]()) < 3.3e6
    assert sum(isinstance(m, torch.nn.Conv2d) and m.kernel_size[0] == 3 for m in WideResNet(10, 6, 4).modules()) == 37
    for net in (MobileNet(10, 0.25), WideResNet(10, 1, 1, 8)):
        assert net.eval()(pictures(2)).shape == (2, 10)


def test_each_row_differs_from_its_base_in_one_change() -> None:
    settings = fashion_mnist.settings_of(Options(size="full"))
    assert settings[:-1] == SETTINGS == fashion_mnist.settings_of(Options())
    for setting in settings:
        if setting.against is not None:
            base = settings[setting.against]
            assert base.net == setting.net
            assert len(set(setting.changes) ^ set(base.changes)) == 1


def test_the_study_runs(options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = fashion_mnist.run(options)
    assert len(table.rows) == len(SETTINGS) and all(len(row) == len(table.columns) for row in table.rows)
    assert table.notes[0].startswith("MNIST's digits: 60 pictures")
    with Image.open(options.figure("fashion-mnist")) as picture:
        assert min(picture.size) > 300
    # The full size reads the other files, all four of them.
    full = dataclasses.replace(options, size="full", fashion=tmp_path)
    with pytest.raises(ConfigError, match="no Fashion-MNIST files"):
        fashion_mnist.run(full)
    sums = {}
    for half, count in (("train", 120), ("t10k", 40)):
        arrays = draw_digits(count, count)
        for kind, array in zip(("images-idx3", "labels-idx1"), arrays, strict=True):
            sums[f"{half}-{kind}-ubyte.gz"] = (write_idx(tmp_path / f"{half}-{kind}-ubyte.gz", array),)
    assert list(sums) == list(FASHION)
    monkeypatch.setattr(fashion_mnist, "FASHION", sums)
    monkeypatch.setattr(fashion_mnist, "NETS", {"full": NETS["small"]})
    monkeypatch.setattr(fashion_mnist, "settings_of", lambda _: SETTINGS[2:3])
    assert fashion_mnist.run(full).notes[0].startswith("Fashion-MNIST: 60 pictures learnt from, 10 validated, 40")
