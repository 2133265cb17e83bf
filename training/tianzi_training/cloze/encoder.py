"""The Transformer that reads a text: a post-LN BERT (arXiv:1810.04805), its weights from multilingual-e5-small."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tianzi_models.cloze.pieces import PAD

EPS = 1e-12


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual connection and a LayerNorm behind it."""

    def __init__(self, width: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps)
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: (N, T, D); bias: (N, 1, T), 0 where there is a piece and very low on padding."""
        x = self.attention_norm(x + self.out(self.attend(self.qkv(x), bias)))
        return self.norm(x + self.outer(F.gelu(self.inner(x))))

    def attend(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """(N, T, 3·D) → (N, T, D)."""
        n, t, d = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        if torch.compiler.is_exporting():
            return self.fused(qkv, bias)
        parts = qkv.view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        if qkv.is_cuda:
            q, k, v = parts.unbind()
            with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):  # others plan each new shape anew
                found = F.scaled_dot_product_attention(q, k, v, bias.unsqueeze(1).to(q.dtype))
            return found.transpose(1, 2).reshape(n, t, d)
        q, k, v = parts.flatten(1, 2).unbind()
        # Written out: on a CPU this takes half the time of scaled_dot_product_attention and its gradient.
        bias = bias.repeat_interleave(self.heads, 0).expand(-1, t, -1)
        scores = torch.baddbmm(bias.to(q.dtype), q, k.transpose(1, 2), alpha=1 / math.sqrt(d // self.heads))
        found = torch.bmm(scores.softmax(-1), v)
        return found.view(n, self.heads, t, -1).transpose(1, 2).reshape(n, t, d)

    def fused(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """The same as onnxruntime's own operator, which keeps the scores in a core's cache: half the time of all.

        It does so without a mask only: the bias is a product of one more dimension of each head.
        """
        n, t, d = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        size = d // self.heads
        q, k, v = (part.unflatten(-1, (self.heads, size)) for part in qkv.split(d, -1))
        wide_q = F.pad(q, (0, 1), value=1.0).flatten(2)
        wide_k = torch.cat([k, bias[:, 0, :, None, None].expand(-1, -1, self.heads, 1)], -1).flatten(2)
        attributes = {"num_heads": self.heads, "scale": size**-0.5}
        inputs, name = (wide_q, wide_k, v.flatten(2)), "com.microsoft::MultiHeadAttention"
        return torch.onnx.ops.symbolic(name, inputs, attributes, dtype=qkv.dtype, shape=(n, t, d), version=1)


class Encoder(nn.Module):
    """Pieces (N, T) → states (N, T, width)."""

    def __init__(
        self,
        pieces: int,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        positions: int,
        dropout: float,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        self.pieces = nn.Embedding(pieces, width, padding_idx=PAD)
        self.positions = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, eps)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(width, heads, inner, eps) for _ in range(layers))

    def forward(self, pieces: Tensor) -> Tensor:
        steps = torch.arange(pieces.shape[1], device=pieces.device)
        x: Tensor = self.dropout(self.norm(self.pieces(pieces) + self.positions(steps)))
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        bias = (pieces == PAD).unsqueeze(1).to(x.dtype) * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        return x


def layer_weights(arrays: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Arrays under e5.py's names → an Encoder's state without the embedding of the pieces."""
    state = {
        # The row of token type 0 is added to every position.
        "positions.weight": arrays["emb.pos"] + arrays["emb.type"][0],
        "norm.weight": arrays["emb.ln.w"],
        "norm.bias": arrays["emb.ln.b"],
    }
    names = {"out": "ao", "attention_norm": "aln", "inner": "fi", "outer": "fo", "norm": "oln"}
    for i in range(layers):
        for kind, suffix in (("w", "weight"), ("b", "bias")):
            state[f"layers.{i}.qkv.{suffix}"] = torch.cat([arrays[f"l{i}.{n}.{kind}"] for n in "qkv"])
            for ours, theirs in names.items():
                state[f"layers.{i}.{ours}.{suffix}"] = arrays[f"l{i}.{theirs}.{kind}"]
    return state
