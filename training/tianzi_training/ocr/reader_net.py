"""ReaderNet: grey crop and place → logits, in the place of an OcrNet; and the finder and the reader side by side."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tianzi_models.ocr.cropping import PLACES
from tianzi_training.ocr.finder_net import FinderNet
from tianzi_training.ocr.net import OcrNet, ink

REJECTS = ("nothing", "several", "unknown")
"""What the last classes stand for: no character, several of them, and one outside the list."""
PLACE_WIDTH = 48


class ReaderNet(OcrNet):
    """An OcrNet that also knows where in the picture the character was, and how large.

    Takes crops (N, 1, H, W) uint8 and places (N, PLACES), gives logits (N, num_classes + len(REJECTS)).
    """

    def __init__(
        self, num_classes: int, crop_px: int, widths: Sequence[int], blocks: Sequence[int], embedding: int
    ) -> None:
        super().__init__(num_classes + len(REJECTS) - 1, crop_px, widths, blocks, embedding)
        self.place = nn.Sequential(nn.Linear(PLACES, PLACE_WIDTH), nn.ReLU(), nn.Linear(PLACE_WIDTH, embedding))
        # Begins as if it did not know the place.
        last = self.place[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, crops: Tensor, places: Tensor) -> Tensor:  # type: ignore[override]
        x = self.features(ink(crops))  # (N, C, h, w)
        x = self.norm(self.embed(x.flatten(1))) + self.place(places)  # (N, E)
        return self.head(x)


class FindingReader(nn.Module):
    """Both networks, so that one training teaches them from the same scenes."""

    def __init__(self, reader: ReaderNet) -> None:
        super().__init__()
        self.finder = FinderNet()
        self.reader = reader


def from_ocr_net(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An OcrNet's weights for a FindingReader: "no single character" begins each of the REJECTS' rows.

    own: the network's state. Weights of a FindingReader are given back as they are.
    """
    renamed = {name if name.startswith(("finder.", "reader.")) else f"reader.{name}": t for name, t in weights.items()}
    for name in ("reader.head.weight", "reader.head.bias"):
        rows = renamed.get(name)
        if rows is not None and len(own[name]) - len(rows) == len(REJECTS) - 1:
            renamed[name] = torch.cat([rows, *[rows[-1:]] * (len(REJECTS) - 1)])
    return renamed


class ServedReader(nn.Module):
    """What tianzi_models.ocr.model.OcrModel says: logits with penalties → ids, probs (N, k), rejects (N, R)."""

    def __init__(self, net: nn.Module, temperature: float, k: int) -> None:
        super().__init__()
        self.net, self.temperature, self.k = net, temperature, k

    def forward(self, crops: Tensor, places: Tensor, penalties: Tensor, set_of: Tensor) -> tuple[Tensor, ...]:
        logits = self.net(crops, places) / self.temperature + penalties.index_select(0, set_of)
        probs = logits.softmax(dim=1)
        count = len(REJECTS)
        best, ids = probs[:, :-count].topk(self.k, dim=1)
        return ids, best, probs[:, -count:]
