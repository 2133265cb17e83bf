"""Questions from held-out documents that a network is chosen and calibrated by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tianzi_models.cloze.inputs import BLANK_CODE
from tianzi_training.cloze.data.questions import (
    Asked,
    Question,
    Source,
    collate_questions,
    draw_document,
    encode,
    mask_words,
)
from tianzi_training.cloze.data.vocabulary import BLANK_TYPE, Vocabulary, dictionary_words
from tianzi_training.cloze.losses import INPUTS
from tianzi_training.cloze.net import ClozeNet, Scores

STORY_PIECES, SHORT_PIECES = 440, 40
CHOICES = 5
BATCH = 16


@dataclass(frozen=True)
class Validation:
    """stories: whose one blank is a noun that stands elsewhere in the text. absent: likewise, but it stands nowhere
    else. short: texts of a sentence or two with any word masked. fitting: short texts whose masked word stands there
    elsewhere. choices: short texts with the masked word among CHOICES words of its kind and length.
    """

    stories: list[Asked]
    absent: list[Asked]
    short: list[Asked]
    fitting: list[Asked]
    choices: list[Asked]

    @classmethod
    def make(cls, held_out: Mapping[str, Source], vocabulary: Vocabulary, count: int) -> "Validation":
        """So many of each, always the same ones; the sources in turn."""
        rng = np.random.default_rng(0)
        sources = list(held_out.values())
        stories: list[Asked] = []
        absent: list[Asked] = []
        short: list[Asked] = []
        fitting: list[Asked] = []
        choices: list[Asked] = []
        alike = words_alike(vocabulary)
        for turn in range(200 * count):
            source = sources[turn % len(sources)]
            if len(stories) < count:
                question = mask_words(rng, draw_document(rng, source, vocabulary, STORY_PIECES), vocabulary, 1, 0.0)
                if len(question.blanks) == 1 and question.question[0] > 0:
                    stories.append(encode(question, vocabulary))
            ids = draw_document(rng, source, vocabulary, SHORT_PIECES)
            question = mask_words(rng, ids, vocabulary, 0, 0.0)
            if len(short) < count and len(question.blanks) == 1 and vocabulary.word[question.answers[0]] >= 0:
                short.append(encode(question, vocabulary))
            if len(choices) < count and (chosen := draw_choice(rng, ids, vocabulary, alike)) is not None:
                choices.append(chosen)
            for found, wanted in ((fitting, True), (absent, False)):
                if len(found) < count and (asked := mask_noun(rng, ids, vocabulary, stays=wanted)) is not None:
                    found.append(encode(asked, vocabulary))
            if min(map(len, (stories, absent, short, fitting, choices))) == count:
                break
        return cls(stories, absent, short, fitting, choices)


def mask_noun(rng: np.random.Generator, ids: np.ndarray, vocabulary: Vocabulary, stays: bool) -> Question | None:
    """Masks one noun of two characters or more that stands in the text elsewhere, too, or nowhere else."""
    types, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    able = vocabulary.noun[types] & ((counts >= 2) if stays else (counts == 1))
    places = np.flatnonzero(able[inverse])
    places = places[[len(vocabulary.types[i]) > 1 for i in ids[places]]]
    if not len(places):
        return None
    place = rng.choice(places, 1)
    masked = ids.copy()
    masked[place] = BLANK_TYPE
    return Question(masked, place, ids[place], np.ones(1))


def words_alike(vocabulary: Vocabulary) -> dict[int, np.ndarray]:
    """Of each type in the lexicon of two characters or more, the types of the same part of speech and length."""
    tags = dictionary_words()
    groups: dict[tuple[str, int], list[int]] = {}
    for i in np.flatnonzero(vocabulary.word >= 0).tolist():
        word = vocabulary.types[i]
        if len(word) > 1 and word in tags:
            groups.setdefault((tags[word][1], len(word)), []).append(i)
    arrays = [np.array(group) for group in groups.values() if len(group) >= 2 * CHOICES]
    return {i: group for group in arrays for i in group.tolist()}


def draw_choice(
    rng: np.random.Generator, ids: np.ndarray, vocabulary: Vocabulary, alike: Mapping[int, np.ndarray]
) -> Asked | None:
    """Masks one word, to be chosen among others that are like it and do not stand in the text."""
    places = [i for i, word in enumerate(ids.tolist()) if word in alike]
    if not places:
        return None
    place = int(rng.choice(places))
    others = np.setdiff1d(alike[int(ids[place])], ids)
    if len(others) < CHOICES - 1:
        return None
    candidates = rng.permutation([ids[place], *rng.choice(others, CHOICES - 1, replace=False)])
    masked = ids.copy()
    masked[place] = BLANK_TYPE
    one, asked = encode(Question(masked, np.array([place]), ids[[place]], np.ones(1)), vocabulary)
    number = np.zeros(len(vocabulary.types), np.int64)
    number[candidates] = np.arange(CHOICES) + 1
    one = replace(
        one,
        match=number[masked],
        candidate_words=vocabulary.word[candidates],
        candidate_pieces=vocabulary.pieces_of[candidates].astype(np.int64),
        candidate_codes=candidates.astype(np.int64) + BLANK_CODE,
    )
    return one, asked | {"answers": number[ids[[place]]] - 1}


def answer(net: ClozeNet, questions: list[Asked]) -> list[tuple[Scores, dict[str, Tensor]]]:
    """The scores of questions of one blank each, in batches, with these batches."""
    found = []
    device = next(net.parameters()).device
    for start in range(0, len(questions), BATCH):
        batch = collate_questions(questions[start : start + BATCH])
        batch = {name: values.to(device) for name, values in batch.items()}
        found.append((net(**{name: batch[name] for name in INPUTS}), batch))
    return found


def validate(net: ClozeNet, validation: Validation) -> dict[str, float]:
    """Accuracy and loss among a story's words; how often a short text's masked word is the first, or among five."""
    right = loss = 0.0
    for scores, batch in answer(net, validation.stories):
        energies = text_energies(scores, batch)[:, 0]
        right += (energies.argmax(-1) == batch["answers"][:, 0]).sum().item()
        loss += F.cross_entropy(energies, batch["answers"][:, 0], reduction="sum").item()
    first = five = 0.0
    for scores, batch in answer(net, validation.short):
        best = every_energy(scores, batch).topk(5, -1).indices
        hit = best == batch["answer_words"][:, :1]
        first, five = first + hit[:, 0].sum().item(), five + hit.any(1).sum().item()
    stories, short = max(1, len(validation.stories)), max(1, len(validation.short))
    return {
        "story_accuracy": right / stories,
        "story_loss": loss / stories,
        "short_first": first / short,
        "short_five": five / short,
    }


def text_energies(scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:
    """(N, Q, K) of the text's words, -1e9 on padding."""
    present = batch["candidate_pieces"][..., 0] > 0
    return (scores.fit + F.softplus(scores.point)).masked_fill(~present.unsqueeze(1), -1e9)


def every_energy(scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:
    """(N, V) of the lexicon's words for each document's first blank, with what its text adds to them."""
    known = (batch["candidate_words"] >= 0) & (batch["candidate_pieces"][..., 0] > 0)
    added = F.softplus(scores.point[:, 0]).masked_fill(~known, 0.0)
    return scores.lexicon[:, 0].scatter_add(1, batch["candidate_words"].clamp_min(0), added)


@torch.inference_mode()
def log_mass(net: ClozeNet, questions: list[Asked], temperature: float) -> Tensor:
    """The logit of the text's words' share of the whole distribution, (questions,)."""
    found = []
    for scores, batch in answer(net, questions):
        present = batch["candidate_pieces"][..., 0] > 0
        energy = text_energies(scores, batch)[:, 0] / temperature
        known = (present & (batch["candidate_words"] >= 0)).unsqueeze(1)
        base = (scores.fit / temperature).masked_fill(~known, -1e9)[:, 0]
        inside = energy.logsumexp(-1)
        lexicon = (scores.lexicon[:, 0] / temperature).logsumexp(-1)
        # The lexicon without the text's words: what is outside.
        outside = lexicon + torch.log1p(-(base.logsumexp(-1) - lexicon).exp().clamp_max(1 - 1e-6))
        found.append(inside - outside)
    return torch.cat(found).float()
