"""The blank filler's networks: padding has no effect, nothing leaks, they learn, they export."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.cloze_world import world_config
from tianzi_models.cloze.text import BLANK
from tianzi_training.cloze.losses import AXES
from tianzi_training.cloze.net import ClozeNet, reversal
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.export.export import export
from tianzi_training.loop import evaluated, load_matching, seed_everything, train

NETS = ("cloze", "two-hops", "deep", "attention", "cloze-aoa", "cloze-seed")


pytestmark = pytest.mark.usefixtures("one_thread")


def make_task(folder: Path, net: str, **changes: object) -> ClozeTask:
    if net == "two-hops":
        net, changes = "cloze", {"hops": 2, **changes}
    if net == "deep":
        net, changes = "cloze", {"gru_layers": 3, **changes}
    if net == "attention":
        net, changes = "cloze", {"attention_layers": 2, **changes}
    blanks = 1 if net == "cloze-seed" else 4
    return ClozeTask(world_config(folder, net=net, **{"max_blanks": blanks, **changes}))


def inputs(task: ClozeTask, step: int = 0) -> dict[str, Tensor]:
    return {name: value for name, value in task.batches()[step].items() if name in AXES}


def test_reversal_leaves_padding_in_place() -> None:
    present = torch.tensor([[True, True, True, False], [True, True, True, True]])
    assert reversal(present).tolist() == [[2, 1, 0, 3], [3, 2, 1, 0]]


@pytest.mark.parametrize("name", NETS)
def test_one_alone_equals_the_same_in_a_batch(tmp_path: Path, name: str) -> None:
    task = make_task(tmp_path, name)
    seed_everything(1)
    net = task.build_net().eval()
    batch = inputs(task)
    with torch.inference_mode():
        together = net(**batch)
        for i in range(len(together)):
            sizes = {"T": int((batch["words"][i] > 0).sum()), "K": int((batch["candidate_words"][i] > 0).sum())}
            one = {key: value[i : i + 1, : sizes.get(AXES[key][1])] for key, value in batch.items()}
            alone = net(**one)
            torch.testing.assert_close(alone[0], together[i][:, : sizes["K"]], atol=1e-5, rtol=1e-5)
            assert (together[i][:, sizes["K"] :] <= -1e8).all()


def test_the_query_of_a_place_does_not_see_its_word(tmp_path: Path) -> None:
    task = make_task(tmp_path, "cloze")
    net = task.build_net().eval()
    assert isinstance(net, ClozeNet)
    batch = inputs(task)
    words, chars, places = batch["words"], batch["chars"], torch.full((len(batch["words"]), 1), 7)
    with torch.inference_mode():
        before = net.queries(*net.read(words, chars), places)
        words[:, 7], chars[:, 7] = BLANK, BLANK
        after = net.queries(*net.read(words, chars), places)
        words[:, 6] = BLANK
        neighbour = net.queries(*net.read(words, chars), places)
    torch.testing.assert_close(before, after)
    assert not torch.allclose(before, neighbour)


@pytest.mark.parametrize("name", ["two-hops", "deep"])
def test_half_precision_gives_nearly_the_same_loss(tmp_path: Path, name: str) -> None:
    task = make_task(tmp_path, name)
    net, batch = task.build_net().eval(), task.batches()[0]
    exact, _ = task.loss(net, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = task.loss(net, batch)
    half.backward()
    assert half.item() != exact.item()
    assert half.item() == pytest.approx(exact.item(), rel=0.01)
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in net.parameters())


def test_more_layers_go_on_as_what_fewer_have_learnt(tmp_path: Path) -> None:
    shallow, deep = (make_task(tmp_path, name).build_net().eval() for name in ("cloze", "deep"))
    assert load_matching(deep, shallow.state_dict()) == len(shallow.state_dict()) < len(deep.state_dict())
    batch = inputs(make_task(tmp_path, "cloze"))
    with torch.inference_mode():
        torch.testing.assert_close(deep(**batch), shallow(**batch))
        for gain in (*deep.left.gains, *deep.right.gains):
            gain += 0.1
        assert not torch.allclose(deep(**batch), shallow(**batch))


@pytest.mark.parametrize("name", NETS)
def test_overfits_one_batch(tmp_path: Path, name: str) -> None:
    task = make_task(tmp_path, name, batch_size=2)
    seed_everything(1)
    net = task.build_net()
    batch = task.batches()[0]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        loss, stats = task.loss(net, batch)
        loss.backward()
        optimizer.step()
    assert stats["accuracy"] == 1.0


def test_same_seed_same_loss_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    figures = []
    for name in ("a", "b"):
        task = make_task(tmp_path, "cloze", name=name)
        figures.append(evaluated(train(task, resume=False), task.validate))
    assert figures[0] == figures[1]
    assert 0 <= figures[0]["held_out_accuracy"] <= 1


def test_word_vectors_are_where_training_starts(tmp_path: Path) -> None:
    task = make_task(tmp_path, "cloze-seed", word2vec_epochs=1)
    first, second = task.build_net(), task.build_net()
    torch.testing.assert_close(first.words.weight[4:], second.words.weight[4:])
    assert abs(float(first.words.weight[4:].std()) - 0.3) < 0.05
    assert not first.words.weight.requires_grad


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NETS)
def test_export_answers_like_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    task = make_task(tmp_path, name, steps=2)
    train(task, resume=False)
    target = export(task, "cloze", 1, tmp_path / "bundles")  # checks parity itself, and answers the golden requests
    assert (target / "golden.json").stat().st_size > 100
