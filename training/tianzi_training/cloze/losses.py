"""What the blank filler is trained to do: give the masked word among all words, and among those of its text."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tianzi_training.cloze.net import ClozeNet

INPUTS = {
    "pieces": "WT",
    "first": "NL",
    "last": "NL",
    "codes": "NL",
    "match": "NL",
    "blanks": "NQ",
    "candidate_words": "NK",
    "candidate_pieces": "NK",
}
"""The network's inputs with the names of their changing axes."""


def spelling_loss(net: ClozeNet, words: Tensor, pieces: Tensor) -> Tensor:
    """How far the vectors that words (S,) of the lexicon get from their pieces (S, P) are from their own."""
    vectors, biases = net.candidates(torch.full_like(words, -1)[None], pieces[None])
    own, own_bias = net.words.weight.detach()[words], net.word_bias.detach()[words]
    return F.mse_loss(vectors[0], own) + 0.1 * F.mse_loss(biases[0], own_bias)


@dataclass(frozen=True)
class Energies:
    """What a network says of a batch's blanks.

    among: (N, Q, K) of the text's words, -1e9 on padding. Of the M blanks that are asked: every: the whole distribution
    in parts (M, ·), the words sampled for the lexicon, what the text adds to its words, and its words that the lexicon
    lacks. fit, point: (M, K) of the text's words. query: (M, word_width).
    """

    among: Tensor
    every: tuple[Tensor, Tensor, Tensor]
    fit: Tensor
    point: Tensor
    query: Tensor


def energies(net: ClozeNet, batch: dict[str, Tensor], asked: tuple[Tensor, Tensor]) -> Energies:
    """asked: rows and columns (M,) of the blanks that are asked."""
    fit, point, query, _ = net.read(**{name: batch[name] for name in INPUTS})
    present = batch["candidate_pieces"][..., 0] > 0
    among = (fit + F.softplus(point)).masked_fill(~present.unsqueeze(1), -1e9)
    fit, point, query, present = fit[asked], point[asked], query[asked], present[asked[0]]
    lexicon = net.lexicon(query, batch["sampled"]) + batch["sampled_shift"]
    pointed = (fit + point).masked_fill(~present, -1e9)
    others = fit.masked_fill(~(present & (batch["candidate_words"] < 0)[asked[0]]), -1e9)
    return Energies(among, (lexicon, pointed, others), fit, point, query)


def cloze_loss(
    net: ClozeNet,
    batch: dict[str, Tensor],
    text_weight: float,
    teacher: ClozeNet | None = None,
    teacher_weight: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross entropy of the masked word among all words, and of questions among the text's words; and what to log.

    batch: INPUTS and answers (N, Q) candidate numbers or -1; answer_words (N, Q) of the lexicon or -1; question (N, Q)
    0 where the answer is not asked among the text's words, else what the question counts; asked (N, Q) 0 on padding;
    sampled (S,) words that stand for the lexicon, sampled_shift (S,) the logarithm of how many others each stands for.
    teacher: a network whose answers to the same are learnt, too.
    """
    # Indices instead of masks: a mask makes the CPU wait for the GPU wherever it is used.
    asked = batch["asked"].nonzero(as_tuple=True)
    found = energies(net, batch, asked)
    answers, weight = batch["answers"], batch["question"]
    each = F.cross_entropy(found.among.flatten(0, 1), answers.flatten(), ignore_index=-1, reduction="none")
    text_loss = (each * weight.flatten()).sum() / weight.sum().clamp_min(1)

    total = torch.stack([part.logsumexp(-1) for part in found.every]).logsumexp(0)
    number = answers[asked].unsqueeze(-1)
    inside, number = number[:, 0] >= 0, number.clamp_min(0)
    words = batch["answer_words"][asked].clamp_min(0)
    own = (found.query.float() * net.words(words)).sum(-1) + net.word_bias[words]
    fits = torch.where(inside, found.fit.gather(-1, number).squeeze(-1), own)
    points = found.point.gather(-1, number).squeeze(-1).masked_fill(~inside, -1e4)
    any_loss = (total - fits - F.softplus(points)).mean()

    right = ((found.among.argmax(-1) == answers) * (weight > 0)).sum() / (weight > 0).sum().clamp_min(1)
    stats = {"any": any_loss.detach(), "text": text_loss.detach(), "accuracy": right}
    loss = any_loss + text_weight * text_loss
    if teacher is not None:
        with torch.no_grad():
            known = energies(teacher, batch, asked)
        taught = divergence(torch.cat(found.every, -1), torch.cat(known.every, -1)).mean()
        of_text = (divergence(found.among, known.among) * weight).sum() / weight.sum().clamp_min(1)
        taught = taught + text_weight * of_text
        loss, stats["taught"] = loss + teacher_weight * taught, taught.detach()
    return loss, stats


def divergence(energies: Tensor, known: Tensor) -> Tensor:
    """How far a distribution of words (…, K) is from the teacher's (arXiv:1503.02531, both as they are), (…)."""
    return F.kl_div(energies.log_softmax(-1), known.log_softmax(-1), reduction="none", log_target=True).sum(-1)
