"""ClozeAoaNet: the attention-over-attention reader (arXiv:1607.04423), kept to be compared with."""

import torch
from torch import Tensor, nn

from tianzi_models.vocab import PAD
from tianzi_training.cloze.gru import Gru
from tianzi_training.cloze.net import BothWays, WordReader, gather_rows, sum_equal_words

AROUND = 20  # words on either side of a blank that are its query


class ClozeAoaNet(nn.Module):
    """Document and query are read by GRUs of their own; each word of the query attends to the document, and the mean
    of the document's attention to the query says how much each counts. Equal words' probabilities are summed.
    """

    def __init__(self, num_words: int, num_chars: int, width: int, char_width: int, hidden: int, dropout: float):
        super().__init__()
        self.reader = WordReader(num_words, num_chars, width, char_width)
        self.document, self.query = (BothWays(Gru(width, hidden), Gru(width, hidden)) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

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
        n, q = blanks.shape
        embedded = self.dropout(self.reader(words, chars))
        present = words != PAD
        document = self.document(embedded, present)  # (N, T, D)
        steps = torch.arange(-AROUND, AROUND + 1, device=words.device)
        places = (blanks.unsqueeze(-1) + steps).flatten(1)  # (N, Q·W)
        inside = (places >= 0) & (places < words.shape[1])
        places = places.clamp(0, words.shape[1] - 1)
        seen = (inside & present.gather(1, places)).view(n * q, -1)  # (N·Q, W)
        around = gather_rows(embedded, places).view(n * q, len(steps), -1)
        # Places before a text's first word stand in front of the row: padding belongs behind.
        columns = torch.arange(len(steps), device=words.device)
        order = torch.where(seen, columns, columns + len(steps)).topk(len(steps), largest=False).indices
        seen = seen.gather(1, order)
        query = self.query(gather_rows(around, order), seen).view(n, q, len(steps), -1)
        scores = torch.einsum("ntd,nqwd->nqtw", document, query)
        seen = seen.view(n, q, 1, -1)
        candidate = (match > 0).view(n, 1, -1, 1)
        attention = scores.masked_fill(~candidate, -1e9).softmax(2)
        importance = scores.masked_fill(~seen, -1e9).softmax(3).mul(present.view(n, 1, -1, 1)).sum(2, keepdim=True)
        importance = importance / present.sum(1).view(n, 1, 1, 1).clamp_min(1)
        probs = (attention * importance).sum(3)  # (N, Q, T)
        return sum_equal_words(probs, match, candidate_words)
