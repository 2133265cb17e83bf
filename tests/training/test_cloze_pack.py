"""Training on a machine without network: what is packed for it, what comes back, and learning from a teacher."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.cloze_world import DID, WHAT, WHO, world_config
from tianzi_models import bundle as bundles
from tianzi_models.cloze.pieces import SPECIAL
from tianzi_models.runtime import Session
from tianzi_training.cloze import pack as packing
from tianzi_training.cloze.data.corpus import Text, read_text, write_text
from tianzi_training.cloze.e5 import MASK, piece_numbers, prune_e5, read_e5
from tianzi_training.cloze.losses import INPUTS, cloze_loss, divergence
from tianzi_training.cloze.net import ClozeNet
from tianzi_training.cloze.task import ClozeTask, read_teacher, read_texts
from tianzi_training.config import ClozeConfig, ConfigError, load_config
from tianzi_training.export.export import export
from tianzi_training.export.parts import join, split
from tianzi_training.export.weights import read_weights
from tianzi_training.loop import CHECKPOINT, load_matching, run_folder, train
from tianzi_training.train import main as train_main

RECIPES = Path(__file__).parents[2] / "training/tianzi_training/cloze"
HIDDEN, INNER, LAYERS, POSITIONS = 32, 64, 2, 512
HANZI = sorted(set("木匠国王公主裁缝渔夫猴子桌子宝剑苹果衣服小船葫芦买卖找送看了。"))
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "the", *HANZI, "▁木", MASK]

DICTIONARY = dict.fromkeys((*WHO, *WHAT), (100, "n")) | dict.fromkeys(DID, (100, "v"))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def small_dictionary() -> Iterator[None]:
    """In the place of jieba's, whose 350,000 words take a while to split; how words are spelt is not learnt, either."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("task", "validation", "data.vocabulary"):
            patch.setattr(f"tianzi_training.cloze.{module}.dictionary_words", lambda: DICTIONARY)
        patch.setattr("tianzi_training.cloze.task.fit_spelling", lambda *_: 0.0)
        yield


def write_e5(path: Path) -> None:
    """A tiny file of that format, of random weights, two more rows of vectors than pieces."""
    rng = np.random.default_rng(0)
    shapes = {"emb.word": (len(PIECES) + 2, HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (2, HIDDEN)}
    shapes |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for i in range(LAYERS):
        sizes = dict.fromkeys(("q", "k", "v", "ao"), (HIDDEN, HIDDEN))
        sizes |= {"fi": (INNER, HIDDEN), "fo": (HIDDEN, INNER)}
        for name, size in sizes.items():
            shapes |= {f"l{i}.{name}.w": size, f"l{i}.{name}.b": size[:1]}
        shapes |= {f"l{i}.{name}.{kind}": (HIDDEN,) for name in ("aln", "oln") for kind in "wb"}
    texts = [piece.encode() for piece in PIECES]
    scores = -np.arange(len(texts), dtype="<f4")
    front = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, 2, INNER, len(texts) + 2, POSITIONS, 2, 1e-12, 32)
    front += struct.pack("<5iQ", len(texts), 0, 2, 1, 3, sum(map(len, texts)))
    front += np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes() + scores.tobytes() + b"".join(texts)
    front += struct.pack("<iI", 1, 9) + bytes(9) + struct.pack("<i", len(shapes))
    at = len(front) + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in shapes)
    directory, body = b"", b""
    for name, shape in shapes.items():
        values = rng.normal(0, 0.1, shape).astype("<f4")
        rounded = len(shape) == 2 and name not in ("emb.pos", "emb.type")
        if rounded:
            blocks = values.reshape(-1, 32)
            scale = (np.abs(blocks).max(1, keepdims=True) / 7).astype("<f2")
            numbers = (np.rint(blocks / scale).clip(-8, 7) + 8).astype(np.uint8)
            packed = numbers[:, :16] | numbers[:, 16:] << 4
            data = np.concatenate([scale.view(np.uint8), packed], 1).tobytes()
        else:
            data = (values + name.endswith("n.w")).astype("<f4").tobytes()
        entry = struct.pack("<BIQQ", int(rounded), values.size, at + len(body), len(data))
        directory += struct.pack("<H", len(name)) + name.encode() + entry
        body += data
    path.write_bytes(front + directory + body)


def pretrained_config(folder: Path, **changes: object) -> ClozeConfig:
    """The small world on the tiny weights."""
    if not (folder / "e5.bin").exists():
        write_e5(folder / "e5.bin")
    sizes = {"width": HIDDEN, "inner": INNER, "positions": POSITIONS, "word_width": 8}
    return world_config(folder, **{"pretrained": True, "e5": str(folder / "e5.bin"), **sizes, **changes})


def test_a_segmented_text_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = Text(["国王", "爱", "猫"], np.array([0, 1, 2, 2], np.int32), np.array([2, 4]), np.array([4]))
    write_text(text, tmp_path / "t.npz")
    again = read_text(tmp_path / "t.npz", tmp_path / "cache", max_characters=1)
    assert again.words == text.words and not (tmp_path / "cache").exists()
    for name in ("ids", "line_ends", "document_ends"):
        assert np.array_equal(getattr(again, name), getattr(text, name)), name


def test_pruned_weights_are_those_of_the_pieces_that_stay(tmp_path: Path) -> None:
    write_e5(tmp_path / "whole.bin")
    prune_e5(tmp_path / "whole.bin", tmp_path / "pruned.bin", ["王", "国"])
    whole, pruned = read_e5(tmp_path / "whole.bin"), read_e5(tmp_path / "pruned.bin")
    assert sorted(pruned.pieces) == sorted(["<s>", "<pad>", "</s>", "<unk>", "国", "王", MASK])
    assert whole.arrays.keys() == pruned.arrays.keys()
    for name in whole.arrays.keys() - {"emb.word"}:
        assert np.array_equal(whole.arrays[name], pruned.arrays[name]), name
    pieces = [*SPECIAL, "国", "王"]
    rows, same = piece_numbers(whole, pieces), piece_numbers(pruned, pieces)
    assert np.array_equal(whole.arrays["emb.word"][rows], pruned.arrays["emb.word"][same])
    assert np.array_equal(whole.scores[rows], pruned.scores[same])
    with pytest.raises(ValueError, match="no vectors of 1 of the pieces, such as 猫"):
        prune_e5(tmp_path / "whole.bin", tmp_path / "other.bin", ["猫"])


def test_a_pack_trains_as_what_it_was_packed_from(tmp_path: Path) -> None:
    config, folder = pretrained_config(tmp_path), tmp_path / "pack"
    sizes = packing.pack(config, folder)
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == sizes
    assert sizes.keys() == {"world.npz", "words.txt", "pieces.txt", "variants.txt", "e5.bin"}
    packed = replace(config, text_folders=(str(folder),), vocabulary=str(folder), e5=str(folder / "e5.bin"))
    one, other = ClozeTask(config), ClozeTask(replace(packed, cache_folder=str(tmp_path / "none")))
    assert one.vocabulary() == other.vocabulary()
    first, same = one.batches()[0], other.batches()[0]
    assert all(torch.equal(first[name], same[name]) for name in first)
    nets = [one.build_net(), other.build_net()]
    for task, net in zip((one, other), nets, strict=True):
        task.initialise(net)
    for name in ("encoder.pieces.weight", "encoder.layers.0.inner.weight", "word_bias"):
        assert torch.equal(nets[0].state_dict()[name], nets[1].state_dict()[name]), name
    with pytest.raises(ConfigError, match="holds files already"):
        packing.pack(config, folder)


def test_too_large_a_pack_names_the_largest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MB, at most 0\.01; the largest in MB: e5\.bin 0\.1, "):
        packing.pack(pretrained_config(tmp_path), tmp_path / "pack", 0.01)
    assert not (tmp_path / "pack").exists()


def test_a_vocabulary_that_the_weights_lack_is_named(tmp_path: Path) -> None:
    config, folder = pretrained_config(tmp_path), tmp_path / "pack"
    packing.pack(config, folder)
    pieces = (folder / "pieces.txt").read_text(encoding="utf-8")
    (folder / "pieces.txt").write_text(pieces + "猫\t-1\n", encoding="utf-8")
    task = ClozeTask(replace(config, vocabulary=str(folder)))
    with pytest.raises(ConfigError, match="no vectors of 1 of the pieces, such as 猫"):
        task.initialise(task.build_net())


def test_the_gpu_recipe_goes_some_steps_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_config(ClozeConfig, RECIPES / "gpu.toml")
    assert recipe.layers == 12 and recipe.device == "cuda"
    assert recipe.long == load_config(ClozeConfig, RECIPES / "recipe.toml").long
    packing.pack(pretrained_config(tmp_path), tmp_path / ".cache/pack")
    monkeypatch.chdir(tmp_path)
    changes = {
        "device": "cpu", "workers": 0, "threads": 1, "steps": 3, "log_every": 1, "layers": 1, "heads": 2,
        "long": "{world = 1.0}", "short": "{world = 1.0}", "most_characters": "{}", "held_out": '["world"]',
        "width": HIDDEN, "inner": INNER, "word_width": 8, "batch_pieces": 600, "validation_questions": 12,
    }  # fmt: skip
    sets = [f"--set={key}={value}" for key, value in changes.items()]
    assert train_main([str(RECIPES / "gpu.toml"), *sets]) == 0
    lines = (run_folder(recipe) / "log.jsonl").read_text().splitlines()
    assert len(lines) == 4 and '"any"' in lines[0] and '"story_accuracy"' in lines[-1]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClozeConfig, Path]:
    """A trained network of two layers, and its bundle."""
    folder = tmp_path_factory.mktemp("exported")
    # Large enough for matrices to be stored as int8, with the weights in a file of their own.
    sizes = {"layers": 2, "width": 64, "heads": 2, "inner": 128, "word_width": 64, "num_words": 80, "lr": 3e-3}
    config = world_config(folder, steps=30, **sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("tianzi_training.export.export.answer_golden", lambda *_: b"[]\n")
        train(ClozeTask(config), resume=False)
        target = export(ClozeTask(config), "cloze", 1, folder / "bundles")
    return config, target


def fit(task: ClozeTask, net: ClozeNet) -> torch.Tensor:
    batch = task.batches()[0]
    with torch.inference_mode():
        return net.eval()(**{name: batch[name] for name in INPUTS}).fit


def test_training_goes_on_from_a_bundle(exported: tuple[ClozeConfig, Path]) -> None:
    config, target = exported
    assert (target / bundles.WEIGHTS).exists() and (target / bundles.INT8_GRAPH).exists()
    task = ClozeTask(replace(config, vocabulary=str(target)))
    weights, net = read_weights(target / bundles.GRAPH), task.build_net()
    assert load_matching(net, weights) == len(net.state_dict()), "nothing of the network is missing in the bundle"
    trained = task.build_net()
    trained.load_state_dict(torch.load(target.parents[2] / "runs/world" / CHECKPOINT)["net"])
    answers = fit(task, trained)
    torch.testing.assert_close(fit(task, net), answers, atol=0.02 * float(answers.abs().max()), rtol=0.02)
    batch = task.batches()[0]
    feeds = {name: batch[name].numpy() for name in INPUTS}
    served = torch.from_numpy(Session(target / bundles.GRAPH, "cpu").run(feeds)["fit"])
    torch.testing.assert_close(fit(task, net), served, atol=1e-4, rtol=1e-4)


def test_fewer_layers_begin_as_the_lower_ones(exported: tuple[ClozeConfig, Path]) -> None:
    config, target = exported
    net = ClozeTask(replace(config, layers=1)).build_net()
    weights = read_weights(target / bundles.GRAPH)
    assert load_matching(net, weights) == len(net.state_dict())
    assert torch.equal(net.state_dict()["encoder.layers.0.qkv.weight"], weights["encoder.layers.0.qkv.weight"])


def test_a_parted_bundle_is_whole_when_joined(exported: tuple[ClozeConfig, Path], tmp_path: Path) -> None:
    _, target = exported
    parts = split(target, tmp_path / "parts", 0.02)
    assert len(parts) > 6 and max(part.stat().st_size for part in parts) <= 20_000
    for name in join(tmp_path / "parts"):
        assert (tmp_path / "parts" / name).read_bytes() == (target / name).read_bytes()
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {path.name for path in target.iterdir()}


def test_a_teachers_answers_are_learnt(exported: tuple[ClozeConfig, Path], tmp_path: Path) -> None:
    config, target = exported
    config = replace(config, vocabulary=str(target), teacher=str(target), layers=1, teacher_weight=20.0)
    task = ClozeTask(config)
    teacher, batch = read_teacher(config, task.vocab), task.batches()[0]
    assert not any(p.requires_grad for p in teacher.parameters())
    assert cloze_loss(teacher, batch, 0.5, teacher, 1.0)[1]["taught"].item() == pytest.approx(0, abs=1e-5)
    net = task.build_net().train()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    taught = []
    for _ in range(24):
        optimizer.zero_grad()
        loss, stats = task.loss(net, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        taught.append(float(stats["taught"]))
    assert 0 < taught[-1] < taught[0] / 2
    run = target.parents[2] / "runs/world"
    from_run = read_teacher(replace(config, teacher=str(run)), task.vocab)
    assert len(from_run.encoder.layers) == 2


def test_an_unfit_teacher_is_named(exported: tuple[ClozeConfig, Path], tmp_path: Path) -> None:
    config, target = exported
    vocab = ClozeTask(config).vocab
    with pytest.raises(ConfigError, match="there is no model.onnx and no last.pt"):
        read_teacher(replace(config, teacher=str(tmp_path)), vocab)
    with pytest.raises(ConfigError, match="(?s)teacher: .*size mismatch"):
        read_teacher(replace(config, teacher=str(target), width=32), vocab)
    with pytest.raises(ConfigError, match=r"its words\.txt holds other symbols: set vocabulary = "):
        read_teacher(replace(config, teacher=str(target)), replace(vocab, words=vocab.words[::-1]))


def test_divergence_is_none_between_equals() -> None:
    energies = torch.tensor([[1.0, 2.0, -1e9], [0.0, 0.0, 3.0]])
    assert divergence(energies, energies + 5).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert (divergence(energies, energies.flip(0)) > 0).all()


def test_the_world_is_read_once(tmp_path: Path) -> None:
    assert read_texts(world_config(tmp_path)).keys() == {"world"}
    with pytest.raises(ConfigError, match="name no source"):
        read_texts(world_config(tmp_path, long={}, short={}))
