"""FindingOcrModel: encoded image or grey pixels → the character found → crop and place → probabilities → characters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tianzi_models.bundle import Bundle
from tianzi_models.errors import InferenceError, InvalidInput
from tianzi_models.ocr.allowed import AllowedSet
from tianzi_models.ocr.cropping import crop_around, place_of
from tianzi_models.ocr.finding import FINDER_PX, Floats, find, is_rival
from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrAnswer, OcrItem, OcrOutput, OcrRequest
from tianzi_models.runtime import Session

FINDER_GRAPH = "finder.onnx"
REJECTS = ("nothing", "several", "unknown")
"""What the reader's last classes stand for: no character, several of them, and one outside the list."""


@dataclass(frozen=True)
class FoundItem(OcrItem):
    """An item with the place of its character, and whether the finder saw a second one beside it."""

    place: npt.NDArray[np.float32]
    has_rival: bool


@dataclass(frozen=True)
class FoundOutput(OcrOutput):
    """rejects: (len(REJECTS),) probabilities; `nothing` of the base class is the greatest of them."""

    rejects: npt.NDArray[np.float32]


class FindingOcrModel(OcrModel):
    """Finds the character by a network of its own, then reads it in grey.

    The finder's graph is as tianzi_models.ocr.finding.Finder says. The reader's takes crops (N, 1, H, W) uint8, places
    (N, PLACES) float32, the penalties (M, C + len(REJECTS)) float32 of the allowed sets of the batch, and set_of (N,)
    int64. It gives ids (N, k) int64 and probs (N, k) float32, best first, and rejects (N, len(REJECTS)) float32; probs
    and rejects share one softmax, over what is allowed.
    """

    contract = 3

    def __init__(self, bundle: Bundle, session: Session) -> None:
        super().__init__(bundle, session)
        self.finder = Session(bundle.path / FINDER_GRAPH, "cpu", 1)
        self.rival_score = float(bundle.facts["rival_score"])
        self.rival_share = float(bundle.facts["rival_share"])
        # Opens the finder's memory before the first request.
        self.find_cells(np.zeros((1, 1, FINDER_PX, FINDER_PX), np.uint8))

    def find_cells(self, thumbnails: npt.NDArray[np.uint8]) -> Floats:
        """The finder's answer; see tianzi_models.ocr.finding.Finder."""
        return np.asarray(self.finder.run({"thumbnails": thumbnails})["cells"])

    def preprocess(self, request: OcrRequest) -> FoundItem:
        """Decodes, finds the character, crops around it; see Model.preprocess."""
        if not 1 <= request.top_k <= self.max_top_k:
            raise InvalidInput("top_k", f"{request.top_k}, must be 1 to {self.max_top_k}")
        allowed = self.allowed.find(request.allowed)
        gray = self._gray(request.image)
        main, *others = find(gray, self.find_cells)
        rival = any(is_rival(box, main, self.rival_score, self.rival_share) for box in others)
        place = place_of(main, gray.shape[1], gray.shape[0])
        return FoundItem(crop_around(gray, main, self.crop_px), request.top_k, allowed, place, rival)

    @staticmethod
    def feeds(items: Sequence[OcrItem]) -> dict[str, np.ndarray[Any, Any]]:
        """What the reader's graph takes."""
        feeds = OcrModel.feeds(items)
        feeds["places"] = np.stack([item.place for item in items if isinstance(item, FoundItem)])
        feeds["penalties"] = np.stack(
            [_with_rejects(one) for one in {id(i.allowed): i.allowed for i in items}.values()]
        )
        return feeds

    def run(self, items: Sequence[OcrItem]) -> list[OcrOutput]:
        """One pass over the crops; see Model.run."""
        out = self.session.run(self.feeds(items))
        ids, probs, rejects = out["ids"], out["probs"], out["rejects"]
        if not (np.isfinite(probs).all() and np.isfinite(rejects).all()):
            raise InferenceError("ocr: the network gave NaN")
        return [FoundOutput(ids[n], probs[n], float(rejects[n].max()), rejects[n]) for n in range(len(items))]

    def postprocess(self, item: OcrItem, output: OcrOutput) -> OcrAnswer:
        """As OcrModel's; rejected, too, where the finder saw a second character."""
        answer = super().postprocess(item, output)
        if isinstance(item, FoundItem) and item.has_rival:
            return replace(answer, rejected=True)
        return answer


def _with_rejects(allowed: AllowedSet) -> npt.NDArray[np.float32]:
    """(C + len(REJECTS),): the set's penalties, with none on whatever says that no character was read."""
    return np.concatenate([allowed.penalties, np.zeros(len(REJECTS) - 1, np.float32)])
