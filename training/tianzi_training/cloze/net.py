"""ClozeNet: reads a document once in both directions, points at the words that may fill its blanks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_models.cloze.text import CHARS_PER_WORD
from tianzi_models.vocab import PAD
from tianzi_training.cloze.attention import CausalAttention
from tianzi_training.cloze.gru import DeepGru

DISTANCES = (1, 2, 3, 5, 9, 17, 33, 65, 129, 257)
ABSENT = -4.0


class WordReader(nn.Module):
    """Vectors of words from their id and their characters, so that unknown words are read as well."""

    def __init__(self, num_words: int, num_chars: int, width: int, char_width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(num_words, width, padding_idx=PAD)
        self.chars = nn.Embedding(num_chars, char_width, padding_idx=PAD)
        self.spell = nn.Linear(CHARS_PER_WORD * char_width, width)
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.words.weight, std=0.3)
        nn.init.normal_(self.chars.weight, std=0.3)

    def forward(self, words: Tensor, chars: Tensor) -> Tensor:
        """(…) ids, (…, C) character ids → (…, width)."""
        return self.norm(self.words(words) + self.spell(self.chars(chars).flatten(-2)))


class ClozeNet(nn.Module):
    """A GRU from the left and one from the right. What precedes a blank by the one and follows it by
    the other is the query; it is compared with each position of the document (attention sum, arXiv:1603.01547)
    and, as a language model, with each candidate word itself.

    The query of a position never sees the word there, so every word of a text teaches the language model.
    """

    def __init__(
        self,
        num_words: int,
        num_chars: int,
        width: int,
        char_width: int,
        hidden: int,
        key_width: int,
        dropout: float,
        hops: int = 1,
        attention_layers: int = 0,
        gru_layers: int = 1,
    ) -> None:
        """hops: how often the document is looked at; each time with what was found before (arXiv:1606.02245).
        gru_layers: of each GRU. attention_layers: of a Transformer in the GRUs' place, if not 0.
        """
        super().__init__()
        self.reader = WordReader(num_words, num_chars, width, char_width)
        self.left, self.right = (
            CausalAttention(width, hidden, attention_layers, dropout)
            if attention_layers
            else DeepGru(width, hidden, gru_layers, dropout)
            for _ in range(2)
        )
        self.query = nn.Sequential(nn.Linear(2 * hidden, 2 * hidden), nn.GELU(), nn.Dropout(dropout))
        self.to_pointer = nn.Linear(2 * hidden, key_width)
        self.key = nn.Linear(2 * hidden, key_width)
        self.to_word = nn.Linear(2 * hidden, width)
        self.word_key = nn.Linear(width, width)
        self.word_bias = nn.Linear(width, 1)
        self.distance = nn.Embedding(2 * len(DISTANCES) + 1, 1)
        self.neighbours = nn.Parameter(torch.zeros(3))
        self.count = nn.Parameter(torch.zeros(1))
        self.absent = nn.Parameter(torch.tensor([ABSENT]))
        self.dropout = nn.Dropout(dropout)
        self.again = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * key_width, 2 * key_width), nn.GELU(), nn.Linear(2 * key_width, key_width))
            for _ in range(hops - 1)
        )
        nn.init.zeros_(self.distance.weight)

    def forward(
        self,
        words: Tensor,
        chars: Tensor,
        blanks: Tensor,
        candidate_words: Tensor,
        candidate_chars: Tensor,
        match: Tensor,
    ) -> Tensor:
        """tianzi_models.cloze.text.ClozeInput in batches → logits (N, Q, K), -1e9 on padding."""
        left, right = self.read(words, chars)
        return self.score(left, right, words, chars, blanks, candidate_words, candidate_chars, match)

    def read(self, words: Tensor, chars: Tensor) -> tuple[Tensor, Tensor]:
        """States after each word from the left, and from the right: two of (N, T, hidden), 0 on padding."""
        embedded = self.dropout(self.reader(words, chars))
        present = words != PAD
        return read_both_ways(self.left, self.right, embedded, present)

    def queries(self, left: Tensor, right: Tensor, places: Tensor) -> Tensor:
        """What stands around places (N, Q), as vectors (N, Q, 2·hidden)."""
        before = gather_rows(F.pad(left, (0, 0, 1, 0)), places)
        after = gather_rows(F.pad(right, (0, 0, 0, 1)), places + 1)
        return self.query(self.dropout(torch.cat([before, after], -1)))

    def score(
        self,
        left: Tensor,
        right: Tensor,
        words: Tensor,
        chars: Tensor,
        blanks: Tensor,
        candidate_words: Tensor,
        candidate_chars: Tensor,
        match: Tensor,
    ) -> Tensor:
        """forward, from the states that read gave."""
        query = self.queries(left, right, blanks)
        keys = self.key(torch.cat([left, right], -1))  # (N, T, key)
        places = self.places(words, chars, blanks).masked_fill((match == 0).unsqueeze(1), -1e4)
        pointer = self.to_pointer(query)
        points = pointer @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5 + places  # (N, Q, T)
        for look in self.again:
            found = points.softmax(-1) @ keys  # (N, Q, key)
            pointer = pointer + look(torch.cat([pointer, found], -1))
            points = pointer @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5 + places
        highest = points.detach().amax(-1, keepdim=True)
        index = match.unsqueeze(1).expand_as(points)
        shape = (points.shape[0], points.shape[1], candidate_words.shape[1] + 1)
        mass = torch.zeros(shape, dtype=points.dtype, device=points.device)
        mass = mass.scatter_add(-1, index, (points - highest).exp())
        pointed = torch.logaddexp((mass[..., 1:] + 1e-30).log() + highest, self.absent)
        counts = torch.zeros(shape[0], shape[2], dtype=points.dtype, device=points.device)
        counts = counts.scatter_add(-1, match, torch.ones_like(match, dtype=points.dtype))[:, 1:]
        candidates = self.reader(candidate_words, candidate_chars)
        logits = pointed + self.word_scores(query, candidates) + self.count * torch.log1p(counts).unsqueeze(1)
        return logits.masked_fill((candidate_words == PAD).unsqueeze(1), -1e9)

    def word_scores(self, query: Tensor, candidates: Tensor) -> Tensor:
        """The language model: queries (…, Q, 2·hidden), word vectors (…, K, width) → (…, Q, K)."""
        fit = self.to_word(query) @ self.word_key(candidates).transpose(-1, -2) * candidates.shape[-1] ** -0.5
        return fit + self.word_bias(candidates).transpose(-1, -2)

    def places(self, words: Tensor, chars: Tensor, blanks: Tensor) -> Tensor:
        """What speaks for each position beside its words, (N, Q, T): distance; neighbours like the blank's."""
        steps = torch.arange(words.shape[1], device=words.device)
        distance = steps - blanks.unsqueeze(-1)  # (N, Q, T)
        bucket = sum((distance.abs() >= d).long() for d in DISTANCES)
        score = self.distance(bucket * distance.sign() + len(DISTANCES)).squeeze(-1)
        code = spelling(chars)
        before = F.pad(code, (1, 0), value=-1)
        after = F.pad(code, (0, 1), value=-1)
        same_before = before[:, :-1].unsqueeze(1) == before.gather(1, blanks).unsqueeze(-1)
        same_after = after[:, 1:].unsqueeze(1) == after.gather(1, blanks + 1).unsqueeze(-1)
        for weight, same in zip(self.neighbours, (same_before, same_after, same_before & same_after), strict=True):
            score = score + weight * same.to(score.dtype)
        return score


def spelling(chars: Tensor) -> Tensor:
    """(N, T, C) character ids below 2¹⁴ → (N, T) one number for each spelling."""
    code = chars[..., 0]
    for i in range(1, CHARS_PER_WORD):
        code = code * 16384 + chars[..., i]
    return code


def reversal(present: Tensor) -> Tensor:
    """(N, T) positions that reverse each row's words and leave its padding: a right-to-left pass must not read it."""
    steps = torch.arange(present.shape[1], device=present.device).unsqueeze(0)
    lengths = present.sum(1, keepdim=True)
    return torch.where(present, lengths - 1 - steps, steps)


def read_both_ways(left: nn.Module, right: nn.Module, embedded: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """States of two recurrent layers over rows (N, T, D) that end in padding, the second read from the right.

    left, right: as nn.GRU, rows first. Two of (N, T, hidden), 0 on padding.
    """
    back = reversal(present)
    forwards, _ = left(embedded)
    backwards, _ = right(gather_rows(embedded, back))
    mask = present.unsqueeze(-1).to(forwards.dtype)
    return forwards * mask, gather_rows(backwards, back) * mask


class BothWays(nn.Module):
    """Two recurrent layers side by side: (N, T, D) → (N, T, 2·hidden), 0 on padding."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, embedded: Tensor, present: Tensor) -> Tensor:
        return torch.cat(read_both_ways(self.left, self.right, embedded, present), -1)


def sum_equal_words(probs: Tensor, match: Tensor, candidate_words: Tensor) -> Tensor:
    """P(position) (N, Q, T) → logits of the candidates (N, Q, K), -1e9 on padding."""
    index = match.unsqueeze(1).expand_as(probs)
    shape = (probs.shape[0], probs.shape[1], candidate_words.shape[1] + 1)
    summed = torch.zeros(shape, dtype=probs.dtype, device=probs.device).scatter_add(-1, index, probs)[..., 1:]
    return summed.clamp_min(1e-12).log().masked_fill((candidate_words == PAD).unsqueeze(1), -1e9)


def gather_rows(values: Tensor, rows: Tensor) -> Tensor:
    """values (N, T, D), rows (N, M) → (N, M, D)."""
    return values.gather(1, rows.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
