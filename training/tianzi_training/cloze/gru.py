"""Gru: PyTorch's, exported as ONNX's operator of that name; and several of them on top of each other."""

import torch
from torch import Tensor, nn

ONNX_OPSET = 20


class Gru(nn.GRU):
    """One layer, from the left, rows first: (N, T, D) → (N, T, hidden) and the last states (1, N, hidden).

    PyTorch's exporter unrolls a GRU over the first example's length, and the graph then reads no other.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden, batch_first=True)

    def forward(self, values: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """hx: None, the states before the first column are 0."""
        if not torch.onnx.is_in_onnx_export():
            return super().forward(values, hx)
        n, t, _ = values.shape
        weights = (self.weight_ih_l0, self.weight_hh_l0, torch.cat([self.bias_ih_l0, self.bias_hh_l0]))
        states, last = torch.onnx.ops.symbolic_multi_out(
            "GRU",
            (values.transpose(0, 1), *(self._onnx_order(weight).unsqueeze(0) for weight in weights)),
            {"hidden_size": self.hidden_size, "linear_before_reset": 1},
            dtypes=(values.dtype, values.dtype),
            shapes=((t, 1, n, self.hidden_size), (1, n, self.hidden_size)),
            version=ONNX_OPSET,
        )
        return states.squeeze(1).transpose(0, 1), last

    def _onnx_order(self, weight: Tensor) -> Tensor:
        """Rows for reset, update and new, as PyTorch has them, once or twice → update, reset and new."""
        gates = weight.split(self.hidden_size)
        return torch.cat([gates[i] for start in range(0, len(gates), 3) for i in (start + 1, start, start + 2)])


class DeepGru(Gru):
    """Gru with more of them above, each of which adds to the states what it makes of them.

    What they add has gains that begin at 0 (LayerScale, arXiv:2103.17239): trained weights of a Gru go on from where
    they are.
    """

    def __init__(self, width: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__(width, hidden)
        self.above = nn.ModuleList(Gru(hidden, hidden) for _ in range(layers - 1))
        self.gains = nn.ParameterList(nn.Parameter(torch.zeros(hidden)) for _ in range(layers - 1))
        self.drop = nn.Dropout(dropout)  # nn.GRU has a number of that name

    def forward(self, values: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        states, last = super().forward(values, hx)
        for gru, gain in zip(self.above, self.gains, strict=True):
            states = states + gain * gru(self.drop(states))[0]
        return states, last
