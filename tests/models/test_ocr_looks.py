"""Looking again at what the network is unsure of."""

import numpy as np
import pytest

from tests.models.tiny import CROP_PX, write_ocr_bundle
from tianzi_models import bundle as bundles
from tianzi_models.ocr.looks import LOOKS, Looks, is_unsure, mean
from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrItem, OcrOutput
from tianzi_models.runtime import Session

SIDE = 48


def output(ids: list[int], probs: list[float], nothing: float) -> OcrOutput:
    return OcrOutput(np.array(ids), np.array(probs, np.float32), nothing)


def test_a_look_is_the_crop_resized_or_moved_on_paper() -> None:
    square, dot = np.full((SIDE, SIDE), 255, np.uint8), np.full((SIDE, SIDE), 255, np.uint8)
    square[2:46, 2:46] = 0
    dot[20, 30] = 0
    seen = Looks(SIDE).at([square, dot]).reshape(2, len(LOOKS), SIDE, SIDE)
    assert seen.dtype == np.uint8
    for (width, height, right, down), squares, dots in zip(LOOKS, seen[0], seen[1], strict=True):
        dark = squares < 128
        assert abs(dark.any(axis=1).sum() - 44 * height / SIDE) <= 1
        assert abs(dark.any(axis=0).sum() - 44 * width / SIDE) <= 1
        assert squares[0, 0] == squares[-1, -1] == 255
        if width == height == SIDE:
            assert np.argwhere(dots < 128).tolist() == [[20 + down, 30 + right]]
    assert (Looks(SIDE).at([np.full((SIDE, SIDE), 255, np.uint8)]) == 255).all()
    assert Looks(24).at([square[:24, :24]]).shape == (len(LOOKS), 24, 24)


def test_the_mean_prefers_what_the_looks_agree_on() -> None:
    first, second = output([3, 5], [0.6, 0.3], 0.1), output([7, 5], [0.6, 0.3], 0.1)
    both = mean([first, second])
    assert both.ids[0] == 5 and len(both.ids) == 2
    # √(0.3·0.3) and √(0.1·0.1); what one look leaves out counts as next to nothing.
    assert both.nothing / both.probs[0] == pytest.approx(1 / 3)
    assert both.probs[0] == pytest.approx(0.75, abs=0.01)
    alike = mean([first, first, first])
    np.testing.assert_array_equal(alike.ids, first.ids)
    np.testing.assert_allclose(alike.probs, first.probs, rtol=1e-5)
    assert alike.nothing == pytest.approx(0.1)


def test_sure_of_a_character_or_of_none() -> None:
    assert not is_unsure(output([1], [0.9], 0.05), 0.8)
    assert not is_unsure(output([1], [0.05], 0.9), 0.8)
    assert is_unsure(output([1], [0.6], 0.4), 0.8) and not is_unsure(output([1], [0.6], 0.4), 0.0)


def light(shade: int) -> OcrItem:
    """A crop with as much ink as the shade says, at 125 the one between 空 and 满."""
    crop = np.full((CROP_PX, CROP_PX), 255, np.uint8)
    crop.ravel()[:shade] = 0
    return OcrItem(crop, 5, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 3, 40])
def test_only_unsure_crops_are_looked_at_again_in_runs_that_are_no_larger(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    bundle = bundles.load(
        write_ocr_bundle(tmp_path_factory.mktemp("bundles"), looks_again_under=0.8), OcrModel.contract
    )
    model = OcrModel(bundle, Session(bundle.graph, "cpu"))
    sure, unsure = light(20), light(63)
    mixed = [OcrItem(item.crop, 5, model.allowed.everything) for item in [unsure, sure] * count][:count]
    runs: list[int] = []
    run = model.session.run

    def counted(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        runs.append(len(feeds["crops"]))
        return run(feeds)

    monkeypatch.setattr(model.session, "run", counted)
    outputs = model.run(mixed)
    doubtful = (count + 1) // 2
    assert sum(runs) == count + len(LOOKS) * doubtful and max(runs) <= max(count, len(LOOKS))
    alone = [model.run([item])[0] for item in mixed]
    for together, lone in zip(outputs, alone, strict=True):
        np.testing.assert_array_equal(together.ids, lone.ids)
        np.testing.assert_allclose(together.probs, lone.probs, atol=1e-5)
    model.looks_again_under = 0.0
    once = model.run(mixed)
    assert [o.probs[0] == pytest.approx(p.probs[0]) for o, p in zip(once, outputs, strict=True)] == [
        n % 2 == 1 for n in range(count)
    ]
