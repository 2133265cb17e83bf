"""OcrModel: encoded image or grey pixels → crop → probabilities → characters."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from tianzi_models.base import Model
from tianzi_models.bundle import Bundle
from tianzi_models.errors import InferenceError, InvalidInput
from tianzi_models.ocr.allowed import AllowedSets
from tianzi_models.ocr.image import check_size, decode_image, is_small, normalize_crop
from tianzi_models.ocr.lattice import CANDIDATES, Bigrams, Place, best_path
from tianzi_models.ocr.looks import LOOKS, Looks, is_unsure, mean
from tianzi_models.ocr.types import DEFAULT_TOP_K, Candidate, GrayArray, OcrAnswer, OcrItem, OcrOutput, OcrRequest
from tianzi_models.runtime import Session

QUICK_CHARACTERS = 100


class OcrModel(Model[OcrRequest, OcrItem, OcrOutput, OcrAnswer]):
    """Recognises one character.

    The graph takes crops (N, 1, H, W) uint8, the penalties (M, C + 1) float32 of the allowed sets of the batch, and
    set_of (N,) int64, which of them each crop has. It gives ids (N, k) int64 and probs (N, k) float32, best first, and
    nothing (N,) float32, the probability that there is no single character; probs and nothing share one softmax, over
    what is allowed.
    """

    name = "ocr"
    contract = 2
    bucketed = True
    run_share = 0.5  # decoding an image takes nearly as long as recognising it

    def __init__(self, bundle: Bundle, session: Session) -> None:
        super().__init__(bundle, session)
        # A line a class: the character that is answered, then the other forms that the class stands for.
        self.charset = bundle.text("charset.txt").splitlines()
        self.allowed = AllowedSets(self.charset)
        facts = bundle.facts
        self.crop_px = int(facts["crop_px"])
        self.max_top_k = int(facts["max_top_k"])
        self.max_side_px = int(facts["max_side_px"])
        self.rejection_threshold = float(facts["rejection_threshold"])
        self.looks_again_under = float(facts.get("looks_again_under", 0.0))
        self.looks = Looks(self.crop_px)
        self.bigrams = Bigrams.from_bundle(bundle)

    @property
    def vocabulary_size(self) -> int:
        """How many classes can be answered."""
        return len(self.charset)

    @property
    def is_brief(self) -> bool:
        """On a CPU; a card is waited for. See Model.is_brief."""
        return not self.session.on_gpu

    def preprocess(self, request: OcrRequest) -> OcrItem:
        """Decodes, crops to the ink; see Model.preprocess."""
        if not 1 <= request.top_k <= self.max_top_k:
            raise InvalidInput("top_k", f"{request.top_k}, must be 1 to {self.max_top_k}")
        allowed = self.allowed.find(request.allowed)
        return OcrItem(normalize_crop(self._gray(request.image), self.crop_px), request.top_k, allowed)

    def is_quick(self, request: OcrRequest) -> bool:
        """Small images; see Model.is_quick. A set of allowed characters takes longer the more there is of it."""
        allowed = request.allowed
        few = not allowed or (len(allowed) <= 2 and sum(map(len, allowed)) <= QUICK_CHARACTERS)
        return few and is_small(request.image)

    @staticmethod
    def feeds(items: Sequence[OcrItem]) -> dict[str, np.ndarray[Any, Any]]:
        """What the graph takes: crops (N, 1, H, W) uint8, penalties of each set (M, C + 1) float32, set_of (N,)."""
        sets = {id(item.allowed): item.allowed for item in items}
        place = {key: number for number, key in enumerate(sets)}
        return {
            "crops": np.stack([item.crop for item in items])[:, None],
            "penalties": np.stack([one.penalties for one in sets.values()]),
            "set_of": np.array([place[id(item.allowed)] for item in items], np.int64),
        }

    def run(self, items: Sequence[OcrItem]) -> list[OcrOutput]:
        """One pass over the crops, and another over the looks at those that it leaves unsure; see Model.run."""
        outputs = self._run_once(items)
        unsure = [n for n, output in enumerate(outputs) if is_unsure(output, self.looks_again_under)]
        # No run has more rows than the first, or than a lone crop's looks.
        part = max(1, len(items) // len(LOOKS))
        for start in range(0, len(unsure), part):
            numbers = unsure[start : start + part]
            crops = self.looks.at([items[n].crop for n in numbers])
            again = self._run_once([replace(items[numbers[i // len(LOOKS)]], crop=c) for i, c in enumerate(crops)])
            for n, first in zip(numbers, range(0, len(again), len(LOOKS)), strict=True):
                outputs[n] = mean([outputs[n], *again[first : first + len(LOOKS)]])
        return outputs

    def _run_once(self, items: Sequence[OcrItem]) -> list[OcrOutput]:
        out = self.session.run(self.feeds(items))
        ids, probs, nothing = out["ids"], out["probs"], out["nothing"]
        if not (np.isfinite(probs).all() and np.isfinite(nothing).all()):
            raise InferenceError("ocr: the network gave NaN")
        return [OcrOutput(ids[n], probs[n], float(nothing[n])) for n in range(len(items))]

    def postprocess(self, item: OcrItem, output: OcrOutput) -> OcrAnswer:
        """The item's top_k characters; rejected where nothing or no character is likely enough."""
        pairs = zip(output.ids[: item.top_k].tolist(), output.probs[: item.top_k].tolist(), strict=True)
        texts = item.allowed.texts  # of a set smaller than top_k the rest is not answered
        candidates = tuple(Candidate(texts[number], confidence) for number, confidence in pairs if number in texts)
        best = float(output.probs[0])
        return OcrAnswer(candidates, rejected=output.nothing > best or best < self.rejection_threshold)

    def read_row(self, row: Sequence[Place]) -> str:
        """The likeliest text of crops side by side, a character each; of more than CANDIDATES the best count.

        A bundle without bigrams gives each crop's best.
        """
        if self.bigrams is None:
            return "".join(next(iter(place)) for place in row)
        places = [dict(islice(place.items(), CANDIDATES)) for place in row]
        return best_path(places, self.bigrams, float(self.bundle.facts["bigrams"]["weight"]))

    def request_from_json(self, data: dict[str, Any]) -> OcrRequest:
        """{"image": base64 of an encoded image, "top_k"?, "allowed"?}."""
        try:
            image = base64.b64decode(data["image"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise InvalidInput("image", "missing or not base64") from None
        return OcrRequest(image, data.get("top_k", DEFAULT_TOP_K), tuple(data.get("allowed", ())))

    def answer_to_json(self, answer: OcrAnswer) -> dict[str, Any]:
        """{"candidates": [{"text", "confidence"}], "rejected"}."""
        candidates = [{"text": c.text, "confidence": c.confidence} for c in answer.candidates]
        return {"candidates": candidates, "rejected": answer.rejected}

    def _gray(self, image: bytes | GrayArray) -> GrayArray:
        if isinstance(image, bytes):
            return decode_image(image, self.max_side_px)
        if image.ndim != 2 or image.dtype != np.uint8:
            raise InvalidInput("image", f"array of shape {image.shape} {image.dtype}, must be (H, W) uint8")
        check_size(image.shape[1], image.shape[0], self.max_side_px)
        return image
