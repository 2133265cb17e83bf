"""The network as it is served: its temperature and thresholds from held-out documents, the graph and its gate."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_models.runtime import Session
from tianzi_training.cloze.data.questions import collate_questions
from tianzi_training.cloze.losses import INPUTS
from tianzi_training.cloze.net import ClozeNet, Scores
from tianzi_training.cloze.validation import BATCH, Validation, answer, every_energy, log_mass, text_energies
from tianzi_training.export.graph import Graph, fit_temperature, fit_with_feature

TOP = 64
"""Words of the lexicon that leave the graph for each blank."""
LEAST_CHOICES = 40
"""Without so many, choices are as sure as all words are."""
KEPT = 0.95
"""Share of the rightly answered held-out questions that the thresholds keep."""
SIZES = {"N": 4096, "W": 4096, "T": 512, "L": 1 << 16, "Q": 4096, "K": 1 << 16}


class ServedCloze(nn.Module):
    """What leaves the graph: see tianzi_models.cloze.distribution.Scores. lexicon is that of the divided energies."""

    def __init__(self, net: ClozeNet, temperature: float) -> None:
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(
        self,
        pieces: Tensor,
        first: Tensor,
        last: Tensor,
        codes: Tensor,
        match: Tensor,
        blanks: Tensor,
        candidate_words: Tensor,
        candidate_pieces: Tensor,
    ) -> tuple[Tensor, ...]:
        scores = self.net(pieces, first, last, codes, match, blanks, candidate_words, candidate_pieces)
        top_fit, top = scores.lexicon.topk(min(TOP, scores.lexicon.shape[-1]), -1)
        return scores.fit, scores.point, top, top_fit, (scores.lexicon / self.temperature).logsumexp(-1), scores.prior


def calibrated(net: ClozeNet, validation: Validation) -> dict[str, float]:
    """The facts of tianzi_models.cloze.distribution.

    temperature: with the least cross-entropy of short texts' words among all; text_temperature: of stories' among the
    text's; candidates_temperature and candidates_prior: of choices, whose candidates no text has drawn, so that how
    frequent they are counts that much less. fits_scale, fits_shift: turn the text's
    share of the distribution into the probability that the answer stands in it, on as many texts where it does as where
    it does not. reject_any, reject_candidates: what KEPT of the right answers are above.
    """
    with torch.inference_mode():
        short = [(every_energy(*one), one[1]["answer_words"][:, 0]) for one in answer(net, validation.short)]
        energies, words = torch.cat([e for e, _ in short]).float(), torch.cat([w for _, w in short])
        temperature = fit_temperature(energies, words)
        probs = (energies / temperature).softmax(-1)
        best, numbers = probs.max(-1)
        right = (numbers == words).numpy()
        behind = (energies.gather(1, words[:, None])[:, 0] - energies.max(-1).values) / temperature
        inside, outside = (log_mass(net, q, temperature) for q in (validation.fitting, validation.absent))
        text = [(text_energies(*one)[:, 0], one[1]["answers"][:, 0]) for one in answer(net, validation.stories)]
        chosen = [
            (text_energies(*one)[:, 0], -one[0].prior, one[1]["answers"][:, 0])
            for one in answer(net, validation.choices)
        ]
    scale, shift = fit_logistic(inside, outside)
    text_temperature = fit_temperature(_widest([energies for energies, _ in text]), torch.cat([a for _, a in text]))
    choice_temperature, prior_weight = temperature, 0.0
    if len(validation.choices) >= LEAST_CHOICES:
        choices, priors = _widest([e for e, _, _ in chosen]), _widest([p for _, p, _ in chosen], 0.0)
        choice_temperature, prior_weight = fit_with_feature(choices, priors, torch.cat([a for _, _, a in chosen]))
    return {
        "temperature": temperature,
        "text_temperature": text_temperature,
        "candidates_temperature": choice_temperature,
        "candidates_prior": prior_weight,
        "fits_scale": scale,
        "fits_shift": shift,
        "reject_any": round(float(np.quantile(best.numpy()[right], 1 - KEPT)) if right.any() else 0.0, 4),
        "reject_candidates": round(float(np.quantile(behind.numpy(), 1 - KEPT)), 2),
    }


def _widest(batches: Sequence[Tensor], value: float = -1e9) -> Tensor:
    """(N, K) of several K as one, filled up with value."""
    width = max(batch.shape[1] for batch in batches)
    return torch.cat([F.pad(batch.float(), (0, width - batch.shape[1]), value=value) for batch in batches])


def fit_logistic(inside: Tensor, outside: Tensor) -> tuple[float, float]:
    """Scale and shift of a logit with which the first are told from the second with the least cross-entropy."""
    if not len(inside) or not len(outside):
        return 1.0, 0.0
    values = torch.cat([inside, outside]).clone()
    truth = torch.cat([torch.full_like(inside, 0.5 / len(inside)), torch.zeros_like(outside)])
    weight = torch.cat([torch.full_like(inside, 0.5 / len(inside)), torch.full_like(outside, 0.5 / len(outside))])
    scales = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([scales], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(
            scales[0] * values + scales[1], (truth > 0).float(), weight=weight, reduction="sum"
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    scale, shift = scales.tolist()
    return round(scale, 3), round(shift, 3)


def served_graph(net: ClozeNet, temperature: float, validation: Validation) -> Graph:
    """What export writes: examples of several shapes, and how many held-out stories a graph answers rightly."""
    batches = [one[1] for one in answer(net, validation.stories[:24])]
    alone = answer(net, validation.short[:1])[0][1]
    sizes = {name: torch.export.Dim(name, min=1, max=limit) for name, limit in SIZES.items()}
    return Graph(
        module=ServedCloze(net, temperature),
        examples=[tuple(batch[name] for name in INPUTS) for batch in (*batches[:2], alone)],
        dynamic_shapes=tuple({i: sizes[axis] for i, axis in enumerate(INPUTS[name])} for name in INPUTS),
        input_names=list(INPUTS),
        output_names=["fit", "point", "top", "top_fit", "lexicon", "prior"],
        accuracy=lambda session: share_right(session, validation),
        tolerance=0.005,
    )


def share_right(session: Session, validation: Validation) -> float:
    """Of held-out stories whose word is the first among the text's, and of short texts where it is among all words."""
    right = 0
    for questions, among_all in ((validation.stories, False), (validation.short, True)):
        for start in range(0, len(questions), BATCH):
            batch = collate_questions(questions[start : start + BATCH])
            found = {name: torch.from_numpy(v) for name, v in session.run(_feeds(batch)).items()}
            if among_all:
                right += int((found["top"][:, 0, 0] == batch["answer_words"][:, 0]).sum())
            else:
                energies = text_energies(Scores(found["fit"], found["point"], found["lexicon"], found["prior"]), batch)
                right += int((energies[:, 0].argmax(-1) == batch["answers"][:, 0]).sum())
    return right / max(1, len(validation.stories) + len(validation.short))


def _feeds(batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: batch[name].numpy() for name in INPUTS}
