"""What the blank filler's networks are trained to do, as losses."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tianzi_models.vocab import PAD
from tianzi_training.cloze.aoa_net import ClozeAoaNet
from tianzi_training.cloze.data.questions import REPEATED
from tianzi_training.cloze.net import ClozeNet
from tianzi_training.cloze.seed_net import ClozeSeedNet

AXES = {
    "words": "NT",
    "chars": "NT",
    "blanks": "NQ",
    "candidate_words": "NK",
    "candidate_chars": "NK",
    "match": "NT",
}
"""The network's inputs, ClozeInput's fields, with the names of their changing axes."""


def word_loss(net: ClozeNet, batch: dict[str, Tensor], lm_weight: float) -> tuple[Tensor, dict[str, float]]:
    """Choosing the answer among the document's words, and guessing other words of it among the batch's."""
    inputs = {name: batch[name] for name in AXES}
    answers = batch["answers"]
    left, right = net.read(inputs["words"], inputs["chars"])
    logits = net.score(left, right, **inputs)
    pointing, accuracy = _pointing(logits, inputs["match"], answers)
    queries = net.queries(left, right, batch["lm_places"])
    groups = queries.unflatten(0, (len(batch["lm_words"]), -1)).flatten(1, 2)
    fits = net.word_scores(groups, net.reader(batch["lm_words"], batch["lm_chars"]))
    fits = fits.masked_fill((batch["lm_words"] == PAD).unsqueeze(1), -1e9)
    guessing = F.cross_entropy(fits.flatten(0, 1), batch["lm_targets"].flatten())
    stats = {"pointing": pointing.item(), "lm": guessing.item(), "accuracy": accuracy}
    return pointing + lm_weight * guessing, stats


def answer_loss(net: ClozeAoaNet, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Choosing the answer among the document's words."""
    loss, accuracy = _pointing(net(**{name: batch[name] for name in AXES}), batch["match"], batch["answers"])
    return loss, {"accuracy": accuracy}


def _pointing(logits: Tensor, match: Tensor, answers: Tensor) -> tuple[Tensor, float]:
    """Cross entropy of the questions, each by its worth, and the share of them that are right."""
    each = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), ignore_index=-1, reduction="none")
    weight = worth(match, answers).flatten()
    correct = (logits.argmax(-1) == answers)[answers >= 0].float().mean()
    return (each * weight).sum() / weight.sum(), correct.item()


def worth(match: Tensor, answers: Tensor) -> Tensor:
    """What each question counts, by how often its answer (N, Q) stands in the document (match: N, T): (N, Q)."""
    times = (match.unsqueeze(1) == (answers + 1).unsqueeze(-1)).sum(-1)
    weight = torch.zeros_like(times, dtype=torch.float32)
    for least, value in REPEATED:
        weight = weight.masked_fill(times >= least, value)
    return weight.masked_fill(answers < 0, 0.0)


def position_loss(net: ClozeSeedNet, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy with a target that is uniform over the answer's occurrences."""
    match, answers = batch["match"], batch["answers"]
    asked = answers >= 0
    found = (match.unsqueeze(1) == (answers + 1).unsqueeze(-1)) & asked.unsqueeze(-1)  # (N, Q, T)
    target = found / found.sum(-1, keepdim=True).clamp_min(1)
    logs = net.positions(batch["words"], batch["blanks"], match)
    loss = -(target * logs).sum(-1)[asked].mean()
    correct = found.gather(-1, logs.argmax(-1, keepdim=True)).squeeze(-1)[asked].float().mean()
    return loss, {"accuracy": correct.item()}
