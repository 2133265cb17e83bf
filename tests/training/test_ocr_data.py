"""Charset, glyphs and batches, with the one font that every development environment has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.latin import DEJAVU, FONT, LATIN
from tianzi_models.ocr.allowed import PROVINCES
from tianzi_models.ocr.image import normalize_crop
from tianzi_training.config import OcrConfig
from tianzi_training.ocr.data import batches as ocr_data
from tianzi_training.ocr.data import glyphs as glyphs_module
from tianzi_training.ocr.data.augment.augment import Augment
from tianzi_training.ocr.data.augment.clutter import relief
from tianzi_training.ocr.data.batches import PLAIN, OcrBatches, class_weights
from tianzi_training.ocr.data.charset import (
    big5_level1,
    build_charset,
    gb2312_hanzi,
    level1_hanzi,
    look_alikes,
    tgscc,
)
from tianzi_training.ocr.data.glyphs import GLYPH_PX, INK_PX, Glyphs, load_glyphs, read_catalogue, render_font
from tianzi_training.ocr.data.handwriting.skeleton import TRACING, Strokes, trace_all
from tianzi_training.ocr.data.negatives import draw_noise, draw_nothing, draw_several
from tianzi_training.ocr.data.plates import BINARY_PX, Photographs, binarise, load_plates, vary


def batches(
    latin: Glyphs,
    photographs: Photographs | None = None,
    drawings: tuple[Glyphs, Strokes] | None = None,
    **changes: float,
) -> OcrBatches:
    options = {"steps": 10, "batch_size": 64, "crop_px": 32, "seed": 3, "level_warmup": 0.5, **changes}
    config = OcrConfig(task="ocr", name="test", lr=1e-3, **options)  # type: ignore[arg-type]
    return OcrBatches([latin], LATIN, config, photographs, drawings)


def test_the_charset_is_the_standards_union() -> None:
    charset = build_charset()
    answered = [forms[0] for forms in charset]
    assert (len(gb2312_hanzi()), len(level1_hanzi()), len(big5_level1())) == (6763, 3755, 5401)
    assert [len(level) for level in tgscc()] == [3500, 3000, 1605]
    everything = {*gb2312_hanzi(), *big5_level1(), *"".join(tgscc()), *map(chr, range(0x21, 0x7F)), *"、。《》“”"}
    assert everything <= set("".join(charset))
    assert len(charset) == len(set(answered)) == 10366
    assert sum(map(len, charset)) == len(set("".join(charset)))  # no character is in two classes
    assert "，," in charset and "AＡ" in charset


def test_look_alikes() -> None:
    assert look_alikes("0０") >= {"0", "０", "O", "o"}
    assert look_alikes("永") == {"永"}


def test_glyphs_are_centred_and_equally_large(latin: Glyphs) -> None:
    assert latin.images.shape[1:] == (GLYPH_PX, GLYPH_PX)
    assert {LATIN[n][0] for n in latin.ids} >= set("Ag0.-")
    for image in latin.images:
        ys, xs = np.nonzero(image < 128)
        assert abs(max(np.ptp(ys), np.ptp(xs)) + 1 - INK_PX) <= 6
        assert abs((ys.min() + ys.max()) / 2 - GLYPH_PX / 2) <= 2 and abs((xs.min() + xs.max()) / 2 - GLYPH_PX / 2) <= 2


def test_characters_that_a_font_lacks_are_left_out() -> None:
    drawn = {number for number, _ in render_font(FONT, ["A", "填", "字"])}
    assert drawn == {0}


def test_characters_that_a_font_draws_wrong_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs_module, "CACHE", tmp_path)
    load_glyphs([FONT], ["A", "B"])
    (found,) = load_glyphs([replace(FONT, faulty="A")], ["A", "B"])  # although the cache has both
    assert found.ids.tolist() == [1]


def test_glyphs_are_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs_module, "CACHE", tmp_path)
    first = load_glyphs([FONT], ["A", "B"])
    monkeypatch.setattr(glyphs_module, "_render_to_cache", lambda *_: pytest.fail("rendered again"))
    again = load_glyphs([FONT], ["A", "B"])
    assert (first[0].images == again[0].images).all() and again[0].ids.tolist() == [0, 1]


def test_the_catalogue_reserves_fonts_for_evaluation(tmp_path: Path) -> None:
    catalogue = tmp_path / "fonts.toml"
    entry = f'[[here.font]]\nfiles = "{DEJAVU.name}"\nstyle = "print"\n'
    catalogue.write_text(
        f'[here]\nroot = "{DEJAVU.parent}"\n{entry}name = "a"\n{entry}name = "b"\nheld_out = true\n'
        '[[here.font]]\nname = "gone"\nfiles = "gone.ttf"\nstyle = "print"\n'
    )
    assert [(f.name, f.held_out) for f in read_catalogue(catalogue)] == [("a", False), ("b", True)]


def test_a_batch_is_a_function_of_seed_and_step(latin: Glyphs) -> None:
    crops, labels = batches(latin)[4]
    again, same = batches(latin)[4]
    assert torch.equal(crops, again) and torch.equal(labels, same)
    assert crops.shape == (64, 1, 32, 32) and crops.dtype == torch.uint8
    assert not torch.equal(crops, batches(latin)[5][0])
    assert not torch.equal(crops, batches(latin, seed=4)[4][0])


def test_nothing_is_a_class_of_its_own(latin: Glyphs) -> None:
    labels = torch.cat([batches(latin, nothing_share=0.5)[step][1] for step in range(4)])
    assert 0.3 < (labels == len(LATIN)).float().mean() < 0.7
    assert labels[labels != len(LATIN)].max() < len(LATIN)


def test_every_picture_of_nothing_can_be_cropped(latin: Glyphs) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        picture = draw_nothing(rng, latin.images[:32])
        assert picture.dtype == np.uint8 and normalize_crop(picture, 48).shape == (48, 48)


def test_several_characters_stand_as_close_as_print_sets_them(latin: Glyphs) -> None:
    rng = np.random.default_rng(0)
    one = [i for i, n in enumerate(latin.ids) if LATIN[n][0] == "1"]
    ratios = [w / h for h, w in (draw_several(rng, latin.images[one * 4]).shape for _ in range(60))]
    assert min(ratios) < 0.5 and any(0.6 < ratio < 1.6 for ratio in ratios)  # two digits fill a square
    assert {draw_noise(rng).dtype for _ in range(30)} == {np.dtype(np.uint8)}


def test_photographs_of_plates_are_split_and_drawn(latin: Glyphs, tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    for i in range(10):
        Image.fromarray(np.full((30, 18), 20 * i, np.uint8)).save(tmp_path / "A" / f"{i}.jpg")
    train, held_out = load_plates(tmp_path, LATIN)
    assert (len(train.pictures), len(held_out.pictures)) == (8, 2) and set(train.ids) == {LATIN.index("AＡ")}
    assert load_plates(tmp_path / "none", LATIN)[0].pictures == []
    assert len(set(PROVINCES)) == 31
    rng = np.random.default_rng(0)
    assert vary(rng, train.pictures[3]).dtype == np.uint8
    small = binarise(rng, latin.images[5])
    assert small.shape == (BINARY_PX, BINARY_PX) and set(np.unique(small)) == {0, 255}
    labels = batches(latin, train, plate_share=1.0, hand_share=0.0, nothing_share=0.0)[9][1]
    drawn = {LATIN[n][0] for n in labels.tolist()}
    assert (labels == LATIN.index("AＡ")).float().mean() > 0.15
    assert drawn <= set("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789")


@pytest.mark.parametrize("style", ["hand", "plate"])
def test_each_style_stays_readable_in_the_mean(latin: Glyphs, style: str) -> None:
    ink = 1 - torch.from_numpy(latin.images[:32]).float().unsqueeze(1) / 255
    bent = relief(Augment(1, 1.0, style), Augment(1, 1.0, style).stroke_width(Augment(1, 1.0, style).warp(ink)))
    before, after = ink.mean((1, 2, 3)), bent.mean((1, 2, 3))
    assert 0.3 < (after / before).median() < 1.5
    # Nothing leaves the canvas: its rim stays nearly empty.
    assert bent[..., 0].mean() < 0.02 and bent[:, :, 0].mean() < 0.02


def test_augmentation_keeps_easy_glyphs_and_changes_hard_ones(latin: Glyphs) -> None:
    clean = np.stack([normalize_crop(image, 48) for image in latin.images[:32]]).astype(int)

    def change(level: float) -> float:
        pictures = [Augment(seed, level).photograph(latin.images[:32]) for seed in range(4)]
        crops = np.stack([[normalize_crop(picture, 48) for picture in group] for group in pictures])
        return float(np.abs(crops.astype(int) - clean).mean())

    easy, hard = change(0.0), change(1.0)
    assert easy < 15 and hard > 1.8 * easy


def test_class_weights_prefer_frequent_hanzi() -> None:
    charset = build_charset()
    weights = dict(zip((forms[0] for forms in charset), class_weights(charset), strict=True))
    assert weights["的"] > weights["龢"] and weights["7"] > weights["的"] and weights["己"] > weights["的"]
    assert weights["决"] > weights["瑛"] > weights["決"]
    assert weights["一"] > max(weights[bar] for bar in "-—_") and weights["口"] > weights["囗"]


def test_a_charset_of_fewer_hanzi_keeps_all_else() -> None:
    whole, small = build_charset(), build_charset(10)
    assert small == whole[: len(small)] and small[-10:] == list(level1_hanzi()[:10])
    assert whole[len(small)] == level1_hanzi()[10]


def test_hands_are_written_anew_from_strokes_that_are_traced_once(
    latin: Glyphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glyphs_module, "CACHE", tmp_path)
    shares = {"hand_share": 1.0, "plate_share": 0.0, "nothing_share": 0.0}
    printed = batches(latin, **shares)
    assert printed.pen is None and not list(tmp_path.iterdir())
    monkeypatch.setattr(ocr_data, "WRITTEN", (FONT.name,))
    monkeypatch.setattr(ocr_data, "WRITTEN_SHARE", 1.0)
    written = batches(latin, **shares)
    assert [file.suffixes[-2:] for file in tmp_path.iterdir()] == [[f".strokes{TRACING}", ".npz"]]
    monkeypatch.setattr(
        "tianzi_training.ocr.data.handwriting.skeleton._trace_to_cache", lambda *_: pytest.fail("traced again")
    )
    again = batches(latin, **shares)
    (crops, labels), (same_crops, same_labels) = written[9], again[9]
    assert torch.equal(crops, same_crops) and torch.equal(labels, same_labels)
    assert crops.shape == (64, 1, 32, 32) and set(labels.tolist()) <= set(latin.ids.tolist())
    assert (crops < 128).flatten(1).any(1).float().mean() > 0.95  # a comma of a fine pen fades
    assert written.pen is not None
    chosen = [i for i, n in enumerate(latin.ids) if LATIN[n][0] in "T+"]
    assert [len(written.pen.strokes[id(latin)][i]) for i in chosen] == [2, 2]


def test_print_is_set_in_made_up_typefaces_from_plain_strokes(latin: Glyphs, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Glyphs(replace(latin.font, name=PLAIN[0]), latin.ids[:3], latin.images[:3])
    drawn = few, Strokes(trace_all(few.images))
    shares = {"batch_size": 32, "hand_share": 0.0, "plate_share": 0.0, "nothing_share": 0.0}
    assert batches(latin, None, (latin, Strokes(trace_all(latin.images))), **shares).made_up is None  # none is plain
    monkeypatch.setattr(ocr_data, "MADE_UP_SHARE", 0.5)
    made_up = batches(latin, None, drawn, **shares)
    labels = [made_up[step][1].tolist() for step in range(8)]
    assert 0 < sum(set(group) <= set(few.ids.tolist()) for group in labels) < 8


def test_hands_are_written_from_drawings_beside_fonts(latin: Glyphs) -> None:
    few = Glyphs(latin.font, latin.ids[:3], latin.images[:3])
    drawn = few, Strokes(trace_all(few.images))
    drawing = batches(latin, None, drawn, batch_size=32, hand_share=1.0, plate_share=0.0, nothing_share=0.0)
    labels = [drawing[step][1].tolist() for step in range(8)]  # a group a step: of hands, three in four are written
    assert 0 < sum(set(group) <= set(few.ids.tolist()) for group in labels) < 8
