"""ClozeNet: reads a text with a Transformer and gives one distribution over any word for each of its blanks.

P(w) ∝ exp(fit(w)) · (1 + Σ exp(point(i)) over the positions i where w stands): how well a word fits the blank, times
how much the text itself points at it. The first addend is the lexicon's part, the second the text's (pointer and
lexicon as one distribution: arXiv:1609.07843, arXiv:1704.04368; summing a word's positions: arXiv:1603.01547).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_models.cloze.pieces import PAD
from tianzi_training.cloze.encoder import Encoder

DISTANCES = (1, 2, 3, 5, 9, 17, 33, 65, 129, 257)
NOWHERE = -1e4


@dataclass(frozen=True)
class Scores:
    """fit: (N, Q, K) of the text's words (or the given candidates). point: (N, Q, K), NOWHERE where none stands.
    lexicon: (N, Q, V), how well each word of the lexicon fits. prior: (N, K), the part of fit that is the word's own.
    """

    fit: Tensor
    point: Tensor
    lexicon: Tensor
    prior: Tensor


class ClozeNet(nn.Module):
    """Encoder, pointer and lexicon."""

    def __init__(
        self,
        num_pieces: int,
        num_words: int,
        width: int = 384,
        layers: int = 6,
        heads: int = 12,
        inner: int = 1536,
        positions: int = 512,
        key_width: int = 128,
        word_width: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(num_pieces, width, layers, heads, inner, positions, dropout)
        self.query = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout))
        self.to_pointer = nn.Linear(2 * width, key_width)
        self.key = nn.Linear(width, key_width)
        self.to_word = nn.Linear(2 * width, word_width)
        self.gate = nn.Linear(2 * width, 1)
        self.words = nn.Embedding(num_words, word_width)
        self.word_bias = nn.Parameter(torch.zeros(num_words))
        self.spell = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, word_width))
        self.spell_bias = nn.Linear(width, 1)
        self.distance = nn.Embedding(2 * len(DISTANCES) + 1, 1)
        self.neighbours = nn.Parameter(torch.zeros(3))
        nn.init.zeros_(self.distance.weight)
        nn.init.constant_(self.gate.bias, -4.0)

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
    ) -> Scores:
        """tianzi_models.cloze.inputs.collate's arrays.

        pieces: (W, T). first, last: (N, L) where in pieces, flattened, each word's first and last piece are. codes:
        (N, L) alike for the same words, 0 on padding. match: (N, L) 1 + the candidate that stands there, 0 = none.
        blanks: (N, Q) positions in L. candidate_words: (N, K) of the lexicon, -1 for others. candidate_pieces:
        (N, K, P).
        """
        fit, point, query, prior = self.read(
            pieces, first, last, codes, match, blanks, candidate_words, candidate_pieces
        )
        return Scores(fit, point, self.lexicon(query), prior)

    def read(
        self,
        pieces: Tensor,
        first: Tensor,
        last: Tensor,
        codes: Tensor,
        match: Tensor,
        blanks: Tensor,
        candidate_words: Tensor,
        candidate_pieces: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """forward without the lexicon: fit, point, what the lexicon is asked, (N, Q, word_width), and prior."""
        states = self.encoder(pieces).flatten(0, 1)
        # As an embedding: the gradient of an index is slow on a GPU where many are alike, here 0, which is no word's.
        words = F.embedding(first, states, 0) + F.embedding(last, states, 0)  # (N, L, D)
        query = self.query(gather_items(words, blanks))
        points = self.to_pointer(query) @ self.key(words).transpose(1, 2) * self.key.out_features**-0.5
        points = points.float() + self.gate(query).float() + self.positions(codes, blanks)
        points = points.masked_fill((match == 0).unsqueeze(1), NOWHERE)
        word_query = self.to_word(query) * self.words.embedding_dim**-0.5
        vectors, biases = self.candidates(candidate_words, candidate_pieces)
        prior = biases.float()
        fit = (word_query @ vectors.transpose(1, 2)).float() + prior.unsqueeze(1)
        return fit, sum_positions(points, match, candidate_words.shape[1]), word_query, prior

    def lexicon(self, query: Tensor, words: Tensor | None = None) -> Tensor:
        """How well each word of the lexicon fits, or each of `words` (S,): (…, word_width) → (…, V or S)."""
        if words is None:
            return F.linear(query, self.words.weight).float() + self.word_bias
        return F.linear(query, self.words(words)).float() + self.word_bias[words]

    def candidates(self, words: Tensor, pieces: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (N, K, word_width) and biases (N, K): the lexicon's where it has the word, else from its pieces."""
        there = (pieces != PAD).unsqueeze(-1).float()
        spelled = (self.encoder.pieces(pieces) * there).sum(-2) / there.sum(-2).clamp_min(1)
        known, index = words >= 0, words.clamp_min(0)
        vectors = torch.where(known.unsqueeze(-1), self.words(index), self.spell(spelled).float())
        return vectors, torch.where(known, self.word_bias[index], self.spell_bias(spelled).squeeze(-1).float())

    def positions(self, codes: Tensor, blanks: Tensor) -> Tensor:
        """What speaks for a position beside its states, (N, Q, L): its distance; neighbours like the blank's."""
        steps = torch.arange(codes.shape[1], device=codes.device)
        distance = steps - blanks.unsqueeze(-1)
        bucket = sum((distance.abs() >= d).long() for d in DISTANCES)
        score = self.distance.weight[:, 0][bucket * distance.sign() + len(DISTANCES)]
        before, after = F.pad(codes, (1, 0), value=-1), F.pad(codes, (0, 1), value=-1)
        same_before = before[:, :-1].unsqueeze(1) == before.gather(1, blanks).unsqueeze(-1)
        same_after = after[:, 1:].unsqueeze(1) == after.gather(1, blanks + 1).unsqueeze(-1)
        for weight, same in zip(self.neighbours, (same_before, same_after, same_before & same_after), strict=True):
            score = score + weight * same.to(score.dtype)
        return score


def sum_positions(points: Tensor, match: Tensor, candidates: int) -> Tensor:
    """log Σ exp of each candidate's positions: points (N, Q, L), match (N, L) → (N, Q, K)."""
    highest = points.detach().amax(-1, keepdim=True).clamp_min(NOWHERE / 2)
    index = match.unsqueeze(1).expand_as(points)
    mass = torch.zeros((*points.shape[:2], candidates + 1), dtype=points.dtype, device=points.device)
    mass = mass.scatter_add(-1, index, (points - highest).exp())[..., 1:]
    return torch.where(mass > 0, mass.clamp_min(1e-30).log() + highest, NOWHERE)


def gather_items(values: Tensor, places: Tensor) -> Tensor:
    """values (N, T, D), places (N, M) → (N, M, D)."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
