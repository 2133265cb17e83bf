"""Batches of masked texts: long ones for what a whole story tells, short ones for what a sentence alone tells."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tianzi_training.cloze.data.noun_replacement import Alike, replace_nouns
from tianzi_training.cloze.data.questions import Source, collate_questions, draw_document, encode, mask_words
from tianzi_training.cloze.data.vocabulary import Vocabulary
from tianzi_training.config import ClozeConfig

SHORT_LENGTHS = (24, 40, 64, 100, 140)
"""Pieces of a short text at most; a batch's are alike."""
LONG_MEAN, LONG_SPREAD, LONG_RANGE = 410, 70, (200, 500)
SPELLED = 1024
"""Words of the lexicon whose vectors are learnt from their pieces in each batch."""
LEAST_WORDS = 4


class MaskedTexts(Dataset[dict[str, Tensor]]):
    """Item `step` is a batch of about config.batch_pieces pieces, a function of seed, step and rank alone:
    config.long_batches times one of long texts, then config.short_batches times one of short ones, and so on. See
    losses.cloze_loss.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        vocabulary: Vocabulary,
        config: ClozeConfig,
        alike: Alike | None = None,
        rank: int = 0,
    ) -> None:
        """sources: by name, as config.long and config.short name them. alike: what nouns give way to."""
        self.vocabulary, self.config, self.alike, self.rank = vocabulary, config, alike, rank
        self.long, self.short = (
            ([sources[name] for name in shares], normalised(list(shares.values()))) if shares else None
            for shares in (config.long, config.short)
        )

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, step, self.rank))
        kinds = [True] * (self.config.long_batches if self.long else 0)
        kinds += [False] * (self.config.short_batches if self.short else 0)
        return self._batch(rng, kinds[step % len(kinds)])

    def _batch(self, rng: np.random.Generator, long: bool) -> dict[str, Tensor]:
        config, vocabulary = self.config, self.vocabulary
        chosen = self.long if long else self.short
        assert chosen is not None
        sources, shares = chosen
        size = int(np.clip(rng.normal(LONG_MEAN, LONG_SPREAD), *LONG_RANGE)) if long else int(rng.choice(SHORT_LENGTHS))
        count = max(1, round(config.batch_pieces / size * (1 if long else config.short_size)))
        documents = []
        while len(documents) < count:
            ids = draw_document(rng, sources[rng.choice(len(sources), p=shares)], vocabulary, size)
            if not len(ids) >= LEAST_WORDS or vocabulary.count[ids].sum() > LONG_RANGE[1]:
                continue
            if long and self.alike is not None:
                ids = replace_nouns(rng, ids, self.alike, vocabulary.noun, config.replaced_nouns)
            if long:
                questions, share = int(rng.integers(1, config.max_questions + 1)), float(rng.uniform(0.02, 0.10))
            else:
                questions, share = int(size >= SHORT_LENGTHS[-2]), float(rng.uniform(0.05, 0.15))
            question = mask_words(rng, ids, vocabulary, questions, share)
            if len(question.blanks):
                documents.append(encode(question, vocabulary))
        words = rng.integers(0, len(vocabulary.words), min(SPELLED, len(vocabulary.words)))
        batch = collate_questions(documents)
        return (
            batch
            | self._sampled(rng, batch["answer_words"].numpy())
            | {
                "spelled_words": torch.from_numpy(words),
                "spelled_pieces": torch.from_numpy(vocabulary.lexicon_pieces[words].astype(np.int64)),
            }
        )

    def _sampled(self, rng: np.random.Generator, answers: np.ndarray) -> dict[str, Tensor]:
        """Words that stand for the lexicon in the loss: the answers and the most frequent ones for themselves, some of
        the others for all of these, as if the lexicon held so many copies of them."""
        size = len(self.vocabulary.words)
        own = np.zeros(size, bool)
        own[: self.config.frequent_words] = True
        own[answers[answers >= 0]] = True
        others = np.flatnonzero(~own)
        drawn = rng.choice(others, min(len(others), self.config.sampled_words), replace=False)
        shift = np.zeros(size, np.float32)
        if len(drawn):  # none, where the lexicon is small
            shift[drawn] = np.log(len(others) / len(drawn))
        words = np.concatenate([np.flatnonzero(own), drawn])
        return {"sampled": torch.from_numpy(words), "sampled_shift": torch.from_numpy(shift[words])}


def normalised(shares: Sequence[float]) -> np.ndarray:
    """The shares, adding up to 1."""
    return np.array(shares) / sum(shares)
