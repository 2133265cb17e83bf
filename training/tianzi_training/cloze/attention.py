"""CausalAttention: a Transformer over what precedes each word, in the place of a GRU."""

import math

import torch
from torch import Tensor, nn


class CausalAttention(nn.Module):
    """(N, T, width) → (N, T, hidden) and nothing: a state depends on its own word and those before (arXiv:1706.03762).

    Layers normalise before attention (arXiv:2002.04745); positions are sines and cosines, so that none is unknown.
    """

    def __init__(self, width: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(width, hidden)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                hidden, hidden // 64 or 1, 4 * hidden, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)
        rates = torch.exp(torch.arange(0, hidden, 2) * (-math.log(10000.0) / hidden))
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, embedded: Tensor) -> tuple[Tensor, None]:
        states = self.enter(embedded)
        steps = torch.arange(states.shape[1], device=states.device)
        angles = steps.unsqueeze(-1) * self.rates
        states = states + torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[:, : states.shape[-1]]
        later = steps.unsqueeze(0) > steps.unsqueeze(1)
        for layer in self.layers:
            states = layer(states, src_mask=later)
        return self.norm(states), None
