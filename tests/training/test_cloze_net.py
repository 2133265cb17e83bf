"""The blank filler's network: padding has no effect, nothing leaks, its losses are what they say, it learns."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.cloze_world import world_config
from tianzi_training.cloze.losses import INPUTS, cloze_loss, spelling_loss
from tianzi_training.cloze.net import NOWHERE, ClozeNet, sum_positions
from tianzi_training.cloze.served import fit_logistic
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.loop import evaluated, seed_everything, train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the world's text, segmented once."""
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def task(folder: Path) -> ClozeTask:
    return ClozeTask(world_config(folder))


def make_net(task: ClozeTask) -> ClozeNet:
    seed_everything(1)
    net = task.build_net()
    task.initialise(net)
    assert isinstance(net, ClozeNet)
    with torch.no_grad():
        for parameter in (net.distance.weight, net.neighbours, net.word_bias):  # not the zeros of the start
            parameter += torch.randn_like(parameter)
        net.gate.bias.fill_(0.0)
    return net.eval()


def test_positions_of_a_word_are_summed() -> None:
    points = torch.tensor([[[1.0, 2.0, NOWHERE, -3.0]]])
    match = torch.tensor([[1, 1, 0, 3]])
    found = sum_positions(points, match, 3)[0, 0].tolist()
    assert found == pytest.approx([float(torch.tensor([1.0, 2.0]).logsumexp(0)), NOWHERE, -3.0])


def test_the_text_points_at_its_words_alone(task: ClozeTask) -> None:
    net, batch = make_net(task), task.batches()[0]
    with torch.inference_mode():
        scores = net(**{name: batch[name] for name in INPUTS})
    stands = torch.stack([(batch["match"] == k + 1).any(1) for k in range(scores.point.shape[-1])], 1)
    assert ((scores.point > NOWHERE) == stands.unsqueeze(1)).all()
    known = batch["candidate_words"] >= 0
    fits = scores.lexicon.gather(-1, batch["candidate_words"].clamp_min(0).unsqueeze(1).expand_as(scores.fit))
    mask = known.unsqueeze(1).expand_as(fits)
    torch.testing.assert_close(scores.fit[mask], fits[mask], atol=1e-4, rtol=1e-4)


def any_loss(net: ClozeNet, batch: dict[str, Tensor]) -> float:
    """The cross entropy over all words, each written down: the lexicon's, then those that the text alone has."""
    scores = net(**{name: batch[name] for name in INPUTS})
    losses = []
    for n, q in zip(*torch.where(batch["asked"] > 0), strict=True):
        energies = dict(enumerate(scores.lexicon[n, q].tolist()))
        number = {}
        for k, word in enumerate(batch["candidate_words"][n].tolist()):
            if not batch["candidate_pieces"][n, k, 0]:
                continue  # padding
            number[k] = word if word >= 0 else 10**6 + k
            energies[number[k]] = float(scores.fit[n, q, k] + F.softplus(scores.point[n, q, k]))
        answer = int(batch["answers"][n, q])
        target = number[answer] if answer >= 0 else int(batch["answer_words"][n, q])
        logits = torch.tensor(list(energies.values()))
        losses.append(F.cross_entropy(logits, torch.tensor(list(energies).index(target))).item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("step", [0, 2])
def test_the_loss_is_the_exact_one_where_the_sample_holds_every_word(task: ClozeTask, step: int) -> None:
    net, batch = make_net(task), task.batches()[step]
    words = len(task.vocab.words)
    batch |= {"sampled": torch.arange(words), "sampled_shift": torch.zeros(words)}
    with torch.inference_mode():
        loss, stats = cloze_loss(net, batch, text_weight=0.5)
        assert stats["any"] == pytest.approx(any_loss(net, batch), rel=1e-4)
    assert loss.item() == pytest.approx(stats["any"] + 0.5 * stats["text"], rel=1e-5)


def test_words_that_stand_for_others_count_as_many(task: ClozeTask) -> None:
    """Two thirds of the lexicon, of one score, in the place of all."""
    net, batch = make_net(task), task.batches()[0]
    words = len(task.vocab.words)
    with torch.inference_mode():
        net.words.weight.zero_()
        net.word_bias.zero_()
        whole = {"sampled": torch.arange(words), "sampled_shift": torch.zeros(words)}
        some = torch.arange(0, words, 2)
        part = {"sampled": some, "sampled_shift": torch.full((len(some),), words / len(some)).log()}
        exact, sampled = (cloze_loss(net, batch | sample, 0.0)[1]["any"] for sample in (whole, part))
    assert sampled == pytest.approx(exact, rel=1e-5)


def test_vectors_are_learnt_from_pieces_without_moving(task: ClozeTask) -> None:
    net, batch = make_net(task), task.batches()[0]
    loss = spelling_loss(net, batch["spelled_words"], batch["spelled_pieces"])
    loss.backward()  # type: ignore[no-untyped-call]
    assert net.words.weight.grad is None or not net.words.weight.grad.any()
    assert net.word_bias.grad is None
    assert all(p.grad is not None and p.grad.any() for p in net.spell.parameters())


def test_half_precision_gives_nearly_the_same_loss(task: ClozeTask) -> None:
    net, batch = make_net(task), task.batches()[0]
    exact, _ = task.loss(net, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = task.loss(net, batch)
    half.backward()  # type: ignore[no-untyped-call]
    assert half.item() == pytest.approx(exact.item(), rel=0.02)
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in net.parameters())


def test_parameters_learn_at_their_groups_rate(task: ClozeTask) -> None:
    net = task.build_net()
    encoder, heads = task.parameter_groups(net)
    assert "lr_scale" not in encoder and heads["lr_scale"] == task.config.head_lr
    assert len(encoder["params"]) + len(heads["params"]) == len(list(net.parameters()))


def test_overfits_one_batch(folder: Path) -> None:
    task = ClozeTask(world_config(folder, batch_pieces=200, max_questions=2))
    net, batch = make_net(task).train(), task.batches()[0]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        loss, stats = task.loss(net, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert stats["accuracy"] == 1.0 and stats["any"] < 0.5


def test_same_seed_same_loss_and_figures(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    figures = []
    for name in ("a", "b"):
        own = ClozeTask(world_config(folder, name=name))
        figures.append(evaluated(train(own, resume=False), own.validate))
    assert figures[0] == figures[1]
    assert 0 <= figures[0]["story_accuracy"] <= 1 and figures[0]["short_first"] <= figures[0]["short_five"]


def test_what_is_inside_is_told_from_what_is_not() -> None:
    scale, shift = fit_logistic(torch.tensor([3.0, 4.0, 1.0]), torch.tensor([-3.0, 2.0, -2.0, -4.0]))
    assert scale > 0 and scale * 4 + shift > 0 > scale * -4 + shift
    assert fit_logistic(torch.empty(0), torch.ones(1)) == (1.0, 0.0)
