"""ClozeSeedNet: the source article's network of 2017, kept to be compared with."""

import torch
from torch import Tensor, nn

from tianzi_models.vocab import PAD
from tianzi_training.cloze.net import BothWays, gather_rows, sum_equal_words


class ClozeSeedNet(nn.Module):
    """Frozen word vectors; two BiLSTM layers, shared by what stands left and right of the blank; the mean of their
    final states is compared with each position, and equal words' probabilities are summed.
    """

    def __init__(self, num_words: int, width: int, hidden: int) -> None:
        super().__init__()
        self.words = nn.Embedding(num_words, width, padding_idx=PAD)
        self.words.weight.requires_grad_(False)
        self.layers = nn.ModuleList(
            BothWays(*(nn.LSTM(size, hidden, batch_first=True) for _ in range(2))) for size in (width, 2 * hidden)
        )

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
        probs = self.positions(words, blanks, match).exp()
        return sum_equal_words(probs, match, candidate_words)

    def positions(self, words: Tensor, blanks: Tensor, match: Tensor) -> Tensor:
        """Log-probabilities of the positions (N, Q, T); only candidates have any."""
        n, q = blanks.shape
        words = words.unsqueeze(1).expand(-1, q, -1).flatten(0, 1)  # (N·Q, T)
        place = blanks.reshape(-1, 1)
        steps = torch.arange(words.shape[1], device=words.device).unsqueeze(0)
        before = torch.where(steps < place, words, PAD)
        moved = steps + place + 1
        last = words.shape[1] - 1
        after = torch.where(moved <= last, words.gather(1, moved.clamp_max(last)), PAD)
        left, left_end = self.read(before)
        right, right_end = self.read(after)
        query = (left_end + right_end) / 2
        # The right context back to its place behind the blank.
        states = torch.where((steps < place).unsqueeze(-1), left, gather_rows(right, (steps - place - 1).clamp_min(0)))
        scores = (states @ query.unsqueeze(-1)).squeeze(-1).view(n, q, -1)
        scores = scores.masked_fill((match == 0).unsqueeze(1), -1e12)
        return scores.log_softmax(-1)

    def read(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """States (N, T, 2·hidden) and final states of both directions (N, 2·hidden)."""
        present = words != PAD
        states = self.words(words)
        for layer in self.layers:
            states = layer(states, present)
        half = states.shape[-1] // 2
        last = (present.sum(1, keepdim=True) - 1).clamp_min(0)
        return states, torch.cat([gather_rows(states, last)[:, 0, :half], states[:, 0, half:]], -1)
