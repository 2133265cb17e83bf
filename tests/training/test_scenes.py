"""Scenes whose characters' places are known, what stands around them, and what the finder is to say of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from tianzi_models.ocr.finding import CELLS, FINDER_PX, Box, decode
from tianzi_training.ocr.data.augment.exposure import expose
from tianzi_training.ocr.data.augment.scenery import KINDS, add_scenery
from tianzi_training.ocr.data.em_boxes import box_of
from tianzi_training.ocr.data.finder_targets import IGNORED, targets
from tianzi_training.ocr.data.outsiders import outsiders, turned
from tianzi_training.ocr.data.scene_batches import jittered
from tianzi_training.ocr.data.scenes import INKED, Composer, Scene, patches_of
from tianzi_training.ocr.finder_net import FinderNet, ServedFinder, finder_loss
from tianzi_training.ocr.net import OcrNet
from tianzi_training.ocr.reader_net import REJECTS, FindingReader, ReaderNet, ServedReader, from_ocr_net

WIDTHS, BLOCKS = (4, 4, 8, 8), (0, 0, 0, 0)


@pytest.fixture
def patches() -> list[Image.Image | None]:
    inks = np.zeros((8, 40, 40), np.float32)
    for n in range(7):  # the last is blank
        inks[n, 8 : 30 + n, 10 : 34 - n] = 1
    return patches_of(inks)


@pytest.mark.parametrize("kind", ["alone", "cell", "line", "page"])
def test_ink_lies_where_the_boxes_say(kind: str, patches: list[Image.Image | None]):
    composer = Composer({3: np.array([[-0.1, 0.2, 0.0, 0.3]])})
    for seed in range(12):
        scene = composer.compose(np.random.default_rng(seed), kind, patches, list(range(8)), seed % 7)
        assert scene is not None and len(scene.boxes) == len(scene.shown)
        assert scene.ink.dtype == np.float32 and max(scene.ink.shape) <= 240
        for x0, y0, x1, y1 in scene.boxes:
            inside = scene.ink[int(y0) : int(y1), int(x0) : int(x1)]
            assert inside.size and inside.max() > INKED
        covered = np.zeros(scene.ink.shape, bool)
        for x0, y0, x1, y1 in scene.boxes + scene.ignored:
            covered[max(0, int(y0) - 2) : int(y1) + 3, max(0, int(x0) - 2) : int(x1) + 3] = True
        if kind == "alone":
            assert not (scene.ink > 0.6)[~covered].any()


def test_a_blank_glyph_makes_no_scene(patches: list[Image.Image | None]):
    assert Composer({}).compose(np.random.default_rng(0), "alone", patches, list(range(8)), 7) is None


def test_a_character_cut_by_the_edge_is_ignored_and_a_sliver_is_not_counted(patches: list[Image.Image | None]):
    scene, patch = Scene(np.zeros((40, 40), np.float32)), patches[0]
    assert patch is not None
    scene.put(0, patch, -10, 5, 10, 25)
    scene.put(1, patch, 36, 5, 56, 25)
    assert not scene.boxes and len(scene.ignored) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_scenery_adds_no_character(kind: str, patches: list[Image.Image | None]):
    composer = Composer({})
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scene = composer.compose(rng, "line", patches, list(range(8)), 0)
        assert scene is not None
        boxes, ignored, ink = list(scene.boxes), list(scene.ignored), scene.ink.copy()
        KINDS[kind][1](rng, scene, patches)
        assert scene.boxes == boxes and scene.ignored == ignored and scene.ink.shape == ink.shape


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_exposures_are_pictures_and_the_same_for_a_seed(level: float, patches: list[Image.Image | None]):
    scene = Composer({}).compose(np.random.default_rng(3), "alone", patches, list(range(8)), 0)
    assert scene is not None
    for seed in range(8):
        add_scenery(np.random.default_rng(seed), scene, patches)
        one, light = expose(np.random.default_rng(seed), scene.ink, scene.pitch, level)
        two, _ = expose(np.random.default_rng(seed), scene.ink, scene.pitch, level)
        assert one.dtype == np.uint8 and one.shape == scene.ink.shape and np.array_equal(one, two)
        assert isinstance(light, bool)


def test_targets_decode_to_the_boxes_they_were_made_of():
    boxes = [(10.0, 12.0, 40.0, 52.0), (80.0, 20.0, 118.0, 60.0)]
    target = targets(boxes, [(60.0, 90.0, 80.0, 128.0)], True, 2.0)
    assert (target[0] == IGNORED).any()
    answer = np.concatenate([target[:1].clip(0), target[1:6]])
    found = decode(np.where(answer[:1] >= 1, answer, 0), 2.0, 128, 128)
    assert len(found) == 2 and all(box.light for box in found)
    for box in boxes:
        assert any(np.allclose([f.x0, f.y0, f.x1, f.y1], box, atol=0.1) for f in found)


def test_the_finder_learns_one_picture():
    torch.manual_seed(0)
    thumbnails = torch.full((1, 1, FINDER_PX, FINDER_PX), 220, dtype=torch.uint8)
    thumbnails[0, 0, 20:44, 24:40] = 30
    target = torch.from_numpy(targets([(24.0, 20.0, 40.0, 44.0)], [], False, 1.0)).unsqueeze(0)
    net = FinderNet()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    first = finder_loss(net(thumbnails), target)[0].item()
    for _ in range(25):
        optimizer.zero_grad()
        loss, _ = finder_loss(net(thumbnails), target)
        loss.backward()
        optimizer.step()
    assert loss.item() < first / 3
    answer = ServedFinder(net)(thumbnails)
    assert answer.shape == (1, 6, CELLS, CELLS) and answer[:, 0].min() >= 0 and answer[:, 0].max() <= 1


def test_a_box_that_is_right_costs_nothing_but_its_scores():
    target = torch.from_numpy(targets([(8.0, 8.0, 40.0, 40.0)], [], True, 1.0)).unsqueeze(0)
    answer = torch.cat([torch.where(target[:, :1] >= 1, 20.0, -20.0), target[:, 1:5], 40 * target[:, 5:6] - 20], 1)
    _, parts = finder_loss(answer, target)
    assert parts["giou"].item() == pytest.approx(0, abs=1e-3) and parts["sides"].item() == 0
    assert parts["light"].item() < 1e-4


def test_a_reader_begins_as_the_recogniser_whose_weights_it_gets():
    torch.manual_seed(0)
    old = OcrNet(5, 48, WIDTHS, BLOCKS, 8).eval()
    new = FindingReader(ReaderNet(5, 48, WIDTHS, BLOCKS, 8)).eval()
    own = new.state_dict()
    new.load_state_dict({**own, **from_ocr_net(old.state_dict(), own)})
    crops = torch.randint(0, 256, (3, 1, 48, 48), dtype=torch.uint8)
    logits = new.reader(crops, torch.randn(3, 6))
    assert logits.shape == (3, 5 + len(REJECTS))
    assert torch.allclose(logits[:, :6], old(crops), atol=1e-5)
    assert torch.equal(logits[:, 5], logits[:, 7])


def test_the_served_reader_gives_what_is_allowed_and_why_not():
    torch.manual_seed(0)
    net = ReaderNet(5, 48, WIDTHS, BLOCKS, 8).eval()
    penalties = torch.zeros(1, 5 + len(REJECTS))
    penalties[0, :4] = -1e4
    crops = torch.randint(0, 256, (2, 1, 48, 48), dtype=torch.uint8)
    ids, probs, rejects = ServedReader(net, 1.0, 3)(
        crops, torch.zeros(2, 6), penalties, torch.zeros(2, dtype=torch.int64)
    )
    assert ids[:, 0].tolist() == [4, 4] and rejects.shape == (2, len(REJECTS))
    assert torch.allclose(probs[:, 0] + rejects.sum(1), torch.ones(2))


def test_strangers_are_outside_the_list_and_held_out_ones_are_others():
    known = ["，,", "一", "丁"]
    train, held_out = outsiders(known), outsiders(known, held_out=True)
    assert train and held_out and not set(train) & set(held_out) and not {"一", "丁"} & {*train, *held_out}
    assert turned(np.random.default_rng(0), np.arange(16, dtype=np.uint8).reshape(4, 4)).shape == (4, 4)


def test_boxes_of_other_hanzi_fill_their_squares_and_jitter_keeps_an_inside():
    rng = np.random.default_rng(0)
    box = box_of({}, 7, rng)
    assert 0.75 < box[2] - box[0] < 1.05
    for _ in range(50):
        off = jittered(rng, Box(5, 5, 6, 40))
        assert off.x1 > off.x0 and off.y1 > off.y0
