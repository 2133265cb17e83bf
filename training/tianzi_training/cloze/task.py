"""The blank filler's training task: texts → questions → loss → accuracy on documents never trained on."""

import copy
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_models.cloze.model import CHARS, WORDS
from tianzi_models.cloze.text import CHARS_PER_WORD, ClozeInput, collate
from tianzi_models.vocab import Vocab
from tianzi_training.cloze.aoa_net import ClozeAoaNet
from tianzi_training.cloze.data.cmrc import read_questions
from tianzi_training.cloze.data.corpus import Text, read_text
from tianzi_training.cloze.data.lexicon import Lexicon, make_lexicon
from tianzi_training.cloze.data.questions import (
    ClozeBatches,
    Source,
    blank_out,
    draw_document,
    draw_length,
    encode_question,
)
from tianzi_training.cloze.data.swap import find_alike
from tianzi_training.cloze.data.word_vectors import word_vectors
from tianzi_training.cloze.golden import CLOZE_REQUESTS
from tianzi_training.cloze.losses import AXES, answer_loss, position_loss, word_loss
from tianzi_training.cloze.net import ClozeNet
from tianzi_training.cloze.seed_net import ClozeSeedNet
from tianzi_training.config import ClozeConfig, ConfigError
from tianzi_training.export.graph import Graph, fit_temperature, fit_with_feature

SIZES = {"N": 4096, "T": 1 << 16, "Q": 4096, "K": 1 << 16}
LIMITS = {"max_characters": 20000, "max_blanks": 64, "max_candidates": 1000, "max_top_k": 50}
HELD_OUT = 20  # one document in so many
CALIBRATION = 4  # times as many questions fit the temperature as validate a step


class ClozeTask:
    """What tianzi_training.loop needs to know of the blank filler."""

    def __init__(self, config: ClozeConfig) -> None:
        self.config = config
        folder, cache = Path(config.text_folder), Path(config.cache_folder)
        shares, first = dict(config.sources), dict(config.first_sources or config.sources)
        texts = {name: read_text(find_text(folder, name), cache) for name in shares | first}
        blanks = {}
        for name in config.questions:
            texts[name], blanks[name] = read_questions(Path(name))
            shares[name] = first[name] = 1.0
        self.texts = list(texts.values())
        both = {name: shares.get(name, 0.0) + config.first_steps * first.get(name, 0.0) for name in texts}
        asked = [name for name, share in both.items() if share > 0]
        self.lexicon, ids = make_lexicon(
            [texts[name] for name in asked],
            [both[name] for name in asked],
            config.num_words,
            kept=read_vocabularies(Path(config.vocabulary)) if config.vocabulary else None,
        )
        self.sources, self.held_out = [], []
        for name, own in zip(asked, ids, strict=True):
            ends = texts[name].document_ends
            documents = np.stack([np.r_[0, ends[:-1]], ends], 1)
            kept = np.array([name in config.held_out and is_held_out(texts[name], *span) for span in documents])
            official = blanks[name][~kept] if name in blanks else np.empty(0, np.int64)
            share, early = shares.get(name, 0.0), first.get(name, 0.0)
            self.sources.append(Source(own, documents[~kept], share, early, official))
            if kept.any():
                self.held_out.append(Source(own, documents[kept], 1.0, 1.0))
        self._validation: list[tuple[ClozeInput, int]] = []

    def build_net(self) -> nn.Module:
        net = build_net(self.config, len(self.lexicon.words), len(self.lexicon.chars))
        if self.config.word2vec_epochs:
            vectors = self._vectors()
            known = ~np.isnan(vectors[:, 0])
            embedding = net.words if isinstance(net, ClozeSeedNet) else net.reader.words
            with torch.no_grad():
                embedding.weight[torch.from_numpy(known)] = torch.from_numpy(vectors[known])
        return net

    def _vectors(self) -> np.ndarray:
        return word_vectors(self.texts, self.lexicon.words.symbols, self.config)

    def batches(self) -> ClozeBatches:
        alike = find_alike(self.lexicon, self._vectors()) if self.config.swap else None
        return ClozeBatches(self.sources, self.lexicon, self.config, alike)

    def loss(self, net: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        if isinstance(net, ClozeSeedNet):
            return position_loss(net, batch)
        if isinstance(net, ClozeAoaNet):
            return answer_loss(net, batch)
        assert isinstance(net, ClozeNet)
        return word_loss(net, batch, self.config.lm_weight)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Accuracy and loss on one-blank questions from held-out documents."""
        logits, answers = self._answer(net, self._held_out_questions())
        correct = (logits.argmax(-1) == answers).float().mean()
        return {"held_out_accuracy": correct.item(), "held_out_loss": F.cross_entropy(logits, answers).item()}

    def _held_out_questions(self) -> list[tuple[ClozeInput, int]]:
        if not self._validation:
            self._validation = make_validation(self.held_out, self.lexicon, self.config.validation_questions)
        return self._validation

    def _answer(self, net: nn.Module, questions: Sequence[tuple[ClozeInput, int]]) -> tuple[Tensor, Tensor]:
        """Logits (questions, most candidates) and answers (questions,)."""
        device = next(net.parameters()).device
        width = max(len(one.candidate_words) for one, _ in questions)
        rows = []
        for start in range(0, len(questions), 32):
            feeds = collate([one for one, _ in questions[start : start + 32]])
            logits = net(**{name: torch.from_numpy(array).to(device) for name, array in feeds.items()})[:, 0].cpu()
            rows.append(F.pad(logits, (0, width - logits.shape[1]), value=-1e9))
        return torch.cat(rows), torch.tensor([answer for _, answer in questions])

    def graph(self, net: nn.Module) -> tuple[Graph, dict[str, Any]]:
        """The network with softmax, calibrated on the held-out documents."""
        many = make_validation(self.held_out, self.lexicon, CALIBRATION * self.config.validation_questions)
        net, temperature = self._calibrated(net, many)
        # Of the first example every axis that changes must be longer than one.
        several = replace(self.config, batch_size=3, max_blanks=3, move_query=0.0)
        drawn = ClozeBatches(self.sources, self.lexicon, several)
        alone = collate([many[0][0]])
        batches = [drawn[0], {name: torch.from_numpy(array) for name, array in alone.items()}, drawn[1]]
        sizes = {name: torch.export.Dim(name, min=1, max=limit) for name, limit in SIZES.items()}
        return Graph(
            module=ServedCloze(net, temperature),
            examples=[tuple(batch[name] for name in AXES) for batch in batches],
            dynamic_shapes=tuple({i: sizes[axis] for i, axis in enumerate(axes)} for axes in AXES.values()),
            input_names=list(AXES),
            output_names=["probs"],
        ), {**LIMITS, "chars_per_word": CHARS_PER_WORD, "temperature": temperature}

    def _calibrated(self, net: nn.Module, questions: Sequence[tuple[ClozeInput, int]]) -> tuple[nn.Module, float]:
        """The network as it is to be served, and its temperature.

        In training some questions count more than others by how often their answer stands in the document, so the
        network favours what stands there often: with the temperature, the weight of that is fitted.
        """
        with torch.no_grad():
            logits, answers = self._answer(net, questions)
        if not isinstance(net, ClozeNet):
            return net, fit_temperature(logits, answers)
        times = torch.zeros_like(logits)
        for row, (one, _) in zip(times, questions, strict=True):
            found = np.bincount(one.match, minlength=len(one.candidate_words) + 1)[1:]
            row[: len(found)] = torch.from_numpy(found)
        temperature, weight = fit_with_feature(logits, torch.log1p(times), answers)
        net = copy.deepcopy(net)
        with torch.no_grad():
            net.count += weight
        return net, temperature

    def vocabulary(self) -> dict[str, bytes]:
        return {WORDS: self.lexicon.words.to_text().encode(), CHARS: self.lexicon.chars.to_text().encode()}

    def golden_requests(self) -> list[dict[str, Any]]:
        return CLOZE_REQUESTS

    def training_data(self) -> list[str]:
        return [*(self.config.sources | self.config.first_sources), *self.config.questions]


class ServedCloze(nn.Module):
    """Logits → probs (N, Q, K): what leaves the graph."""

    def __init__(self, net: nn.Module, temperature: float) -> None:
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(
        self,
        words: Tensor,
        chars: Tensor,
        blanks: Tensor,
        candidate_words: Tensor,
        candidate_chars: Tensor,
        match: Tensor,
    ) -> Tensor:
        logits = self.net(words, chars, blanks, candidate_words, candidate_chars, match)
        probs: Tensor = (logits / self.temperature).softmax(-1)
        return probs


def make_validation(sources: Sequence[Source], lexicon: Lexicon, count: int) -> list[tuple[ClozeInput, int]]:
    """Questions of one blank each, always the same ones."""
    if not sources:
        raise ConfigError("held_out: names no source, or one of too few documents")
    rng = np.random.default_rng(0)
    made = []
    while len(made) < count:
        ids, _ = draw_document(rng, sources[len(made) % len(sources)], lexicon.ends_sentence, draw_length(rng))
        question = blank_out(rng, ids, lexicon, max_blanks=1)
        if len(question.blanks):
            one, answers = encode_question(question, lexicon)
            made.append((one, int(answers[0])))
    return made


def build_net(config: ClozeConfig, num_words: int, num_chars: int) -> nn.Module:
    """The network that a configuration names."""
    if config.net == "cloze":
        return ClozeNet(
            num_words,
            num_chars,
            config.width,
            config.char_width,
            config.hidden,
            config.key_width,
            config.dropout,
            config.hops,
            config.attention_layers,
            config.gru_layers,
        )
    if config.net == "cloze-aoa":
        return ClozeAoaNet(num_words, num_chars, config.width, config.char_width, config.hidden, config.dropout)
    if config.net == "cloze-seed":
        return ClozeSeedNet(num_words, config.width, config.hidden)
    raise ConfigError(f"net: {config.net!r}, must be cloze, cloze-aoa or cloze-seed")


def read_vocabularies(bundle: Path) -> tuple[Vocab, Vocab]:
    """The words and the characters of a bundle. Raises: OSError: one of the files is not there."""
    words, chars = (Vocab.from_text((bundle / name).read_text(encoding="utf-8")) for name in (WORDS, CHARS))
    return words, chars


def find_text(folder: Path, name: str) -> Path:
    """The file of a source. Raises: ConfigError: there is none."""
    for suffix in (".txt", ".txt.xz"):
        if (path := folder / (name + suffix)).exists():
            return path
    raise ConfigError(f"sources: no {name}.txt or {name}.txt.xz in {folder}")


def is_held_out(text: Text, start: int, end: int) -> bool:
    """Whether a document is held out: decided by its words alone, so a new run or a reordered file decides alike."""
    words = "".join(text.words[i] for i in text.ids[start : min(end, start + 50)])
    return zlib.crc32(words.encode()) % HELD_OUT == 0
