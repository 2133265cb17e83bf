"""The blank filler's training task: texts → masked words → loss → figures on documents never trained on."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tianzi_models.bundle import GRAPH
from tianzi_models.cloze.lexicon import PIECES, VARIANTS, WORDS, Lexicon
from tianzi_models.cloze.pieces import PAD, Pieces
from tianzi_training.cloze.data.batches import MaskedTexts
from tianzi_training.cloze.data.corpus import Text, read_text, variants
from tianzi_training.cloze.data.noun_replacement import find_alike
from tianzi_training.cloze.data.questions import Source
from tianzi_training.cloze.data.vocabulary import (
    Vocabulary,
    choose_pieces,
    choose_words,
    dictionary_words,
    make_vocabulary,
    map_types,
    plain_pieces,
    word_frequency,
)
from tianzi_training.cloze.e5 import E5, find_e5, piece_numbers, read_e5
from tianzi_training.cloze.encoder import Encoder, layer_weights
from tianzi_training.cloze.golden import CLOZE_REQUESTS
from tianzi_training.cloze.losses import cloze_loss, spelling_loss
from tianzi_training.cloze.net import ClozeNet
from tianzi_training.cloze.served import calibrated, served_graph
from tianzi_training.cloze.validation import Validation, validate
from tianzi_training.cloze.word_vectors import encode_words, fit_spelling, principal
from tianzi_training.config import ClozeConfig, ConfigError
from tianzi_training.export.graph import Graph
from tianzi_training.export.weights import read_weights
from tianzi_training.loop import CHECKPOINT

HELD_OUT = 20  # one document in so many
SHORT_TEXTS = 2.0  # what a short text's words count beside a long one's when the lexicon is chosen
LIMITS = {"max_characters": 20000, "max_blanks": 64, "max_candidates": 1000, "max_top_k": 50}


class ClozeTask:
    """What tianzi_training.loop needs to know of the blank filler."""

    def __init__(self, config: ClozeConfig) -> None:
        self.config = config
        shares = {
            name: config.long.get(name, 0.0) + SHORT_TEXTS * config.short.get(name, 0.0)
            for name in config.long | config.short
        }
        texts = read_texts(config)
        types, mapped = map_types([(text.words, text.ids) for text in texts.values()])
        frequency = word_frequency(len(types), mapped, list(shares.values()))
        self._e5: E5 | None = None
        words, pieces = self._symbols(types, frequency)
        self.vocab = make_vocabulary(types, frequency, words, pieces)
        self.sources: dict[str, Source] = {}
        self.held_out: dict[str, Source] = {}
        for (name, text), ids in zip(texts.items(), mapped, strict=True):
            documents = np.stack([np.r_[0, text.document_ends[:-1]], text.document_ends], 1)
            kept = np.array([name in config.held_out and is_held_out(text, *span) for span in documents])
            self.sources[name] = Source(ids, documents[~kept])
            if kept.any():
                self.held_out[name] = Source(ids, documents[kept])
        self._validation: Validation | None = None
        self._teacher: ClozeNet | None = None

    def _symbols(self, types: list[str], frequency: np.ndarray) -> tuple[list[str], Pieces]:
        """The lexicon's words and the pieces: those of config.vocabulary, else chosen from the texts."""
        config = self.config
        if config.vocabulary:
            folder = Path(config.vocabulary)
            words = (folder / WORDS).read_text(encoding="utf-8").split("\n")[:-1]
            return words, Pieces.from_text((folder / PIECES).read_text(encoding="utf-8"))
        words = choose_words(types, frequency, config.num_words, config.num_idioms)
        every = [*dictionary_words(), *types[2:]]
        return words, choose_pieces(self._weights(), every) if config.pretrained else plain_pieces(every)

    def _weights(self) -> E5:
        """multilingual-e5-small, read once."""
        if self._e5 is None:
            try:
                self._e5 = read_e5(Path(self.config.e5) if self.config.e5 else find_e5())
            except (FileNotFoundError, ValueError) as error:
                raise ConfigError(f"pretrained: {error}") from None
        return self._e5

    def build_net(self) -> nn.Module:
        config, vocab = self.config, self.vocab
        return make_net(config, vocab, config.layers)

    def initialise(self, net: nn.Module) -> None:
        """Gives a fresh network what is known before training: multilingual-e5-small, and how frequent each word is."""
        assert isinstance(net, ClozeNet)
        vocab = self.vocab
        if self.config.pretrained:
            self._start_from_e5(net)
        index = {word: i for i, word in enumerate(vocab.types)}
        share = np.array([vocab.frequency[index[word]] if word in index else 0.0 for word in vocab.words])
        logs = np.log(np.maximum(share, 3e-7))
        with torch.no_grad():
            net.word_bias.copy_(torch.from_numpy(logs - logs.mean()))
        if self.config.pretrained:
            fit_spelling(net, torch.from_numpy(vocab.lexicon_pieces.astype(np.int64)))

    def _start_from_e5(self, net: ClozeNet) -> None:
        """The encoder's lower layers and the embeddings as they are; the lexicon's vectors as all layers read each."""
        arrays, embedding = self._arrays()
        net.encoder.load_state_dict(layer_weights(arrays, self.config.layers) | {"pieces.weight": embedding})
        with torch.no_grad():
            net.words.weight.copy_(principal(self._word_vectors(), self.config.word_width))

    def _arrays(self) -> tuple[dict[str, Tensor], Tensor]:
        """e5's arrays, and the vectors of our pieces."""
        e5 = self._weights()
        arrays = {name: torch.from_numpy(array) for name, array in e5.arrays.items()}
        try:
            numbers = piece_numbers(e5, self.vocab.pieces.pieces)
        except ValueError as error:
            raise ConfigError(f"vocabulary, e5: {error}") from None
        embedding = arrays["emb.word"][torch.from_numpy(numbers)]
        embedding[PAD] = 0
        return arrays, embedding

    def _word_vectors(self) -> Tensor:
        """Each word of the lexicon alone as all layers of e5 read it, (words, width)."""
        (arrays, embedding), e5 = self._arrays(), self._weights()
        whole = Encoder(len(embedding), e5.hidden, e5.layers, e5.heads, e5.inner, len(arrays["emb.pos"]), 0.0)
        whole.load_state_dict(layer_weights(arrays, e5.layers) | {"pieces.weight": embedding})
        return encode_words(whole.eval(), self.vocab.lexicon_pieces)

    def batches(self, rank: int = 0) -> MaskedTexts:
        """rank: of the process that trains beside others."""
        alike = None
        if self.config.replaced_nouns:
            if not self.config.pretrained:
                raise ConfigError("replaced_nouns: needs pretrained, whose word vectors tell which nouns are alike")
            alike = find_alike(self.vocab, self._word_vectors().numpy())
        return MaskedTexts(self.sources, self.vocab, self.config, alike, rank)

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """The encoder's parameters, and the others at config.head_lr times its learning rate."""
        assert isinstance(net, ClozeNet)
        own = {id(p) for p in net.encoder.parameters()}
        heads = [p for p in net.parameters() if id(p) not in own]
        decay = self.config.weight_decay
        return [
            {"params": list(net.encoder.parameters()), "weight_decay": decay},
            {"params": heads, "weight_decay": decay, "lr_scale": self.config.head_lr},
        ]

    def loss(self, net: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(net, ClozeNet)
        config = self.config
        if config.teacher and self._teacher is None:
            self._teacher = read_teacher(config, self.vocab).to(net.word_bias.device)
        loss, stats = cloze_loss(net, batch, config.text_weight, self._teacher, config.teacher_weight)
        spelling = spelling_loss(net, batch["spelled_words"], batch["spelled_pieces"])
        return loss + config.spelling_weight * spelling, stats | {"spelling": spelling.detach()}

    def validate(self, net: nn.Module) -> dict[str, float]:
        assert isinstance(net, ClozeNet)
        return validate(net, self.validation())

    def validation(self) -> Validation:
        """Questions from the held-out documents, always the same ones."""
        if not self.held_out:
            raise ConfigError("held_out: names no source, or one of too few documents")
        if self._validation is None:
            self._validation = Validation.make(self.held_out, self.vocab, self.config.validation_questions)
        return self._validation

    def graph(self, net: nn.Module) -> tuple[Graph, dict[str, Any]]:
        """What is served, calibrated on the held-out documents."""
        assert isinstance(net, ClozeNet)
        facts = calibrated(net, self.validation())
        return served_graph(net, facts["temperature"], self.validation()), {**LIMITS, **facts}

    def vocabulary(self) -> dict[str, bytes]:
        kept = Path(self.config.vocabulary) / VARIANTS
        there = self.config.vocabulary and kept.exists()
        usual = dict(line.split(" ") for line in kept.read_text(encoding="utf-8").splitlines()) if there else variants()
        return Lexicon(self.vocab.words, self.vocab.pieces, usual).to_files()

    def golden_requests(self) -> list[dict[str, Any]]:
        return CLOZE_REQUESTS

    def training_data(self) -> list[str]:
        weights = ["multilingual-e5-small"] if self.config.pretrained else []
        return [*weights, *(self.config.long | self.config.short)]


def make_net(config: ClozeConfig, vocab: Vocabulary, layers: int) -> ClozeNet:
    """A fresh network of so many layers."""
    return ClozeNet(
        len(vocab.pieces),
        len(vocab.words),
        config.width,
        layers,
        config.heads,
        config.inner,
        config.positions,
        config.key_width,
        config.word_width,
        config.dropout,
    )


def read_teacher(config: ClozeConfig, vocab: Vocabulary) -> ClozeNet:
    """The network of config.teacher, in eval mode.

    Raises:
        ConfigError: there is none, or it is of other words, pieces or sizes.
    """
    folder = Path(config.teacher)
    own = {WORDS: "\n".join(vocab.words) + "\n", PIECES: vocab.pieces.to_text()}
    for name, text in own.items():
        if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text:
            raise ConfigError(f"teacher: its {name} holds other symbols: set vocabulary = {config.teacher!r}")
    if (folder / GRAPH).exists():
        weights = read_weights(folder / GRAPH)
    elif (folder / CHECKPOINT).exists():
        weights = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)["net"]
    else:
        raise ConfigError(f"teacher: there is no {GRAPH} and no {CHECKPOINT} in {folder}")
    layers = sum(bool(re.fullmatch(r"encoder\.layers\.\d+\.qkv\.weight", name)) for name in weights)
    net = make_net(config, vocab, layers)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise ConfigError(f"teacher: {folder} is of other sizes: {first}") from None
    return net.eval().requires_grad_(False)


def read_texts(config: ClozeConfig) -> dict[str, Text]:
    """The segmented sources by name. Raises: ConfigError: there is none, or a text is missing."""
    names = list(config.long | config.short)
    if not names:
        raise ConfigError("long, short: name no source")
    cache, limits = Path(config.cache_folder), config.most_characters
    return {name: read_text(find_text(config.text_folders, name), cache, limits.get(name, 0)) for name in names}


def find_text(folders: Sequence[str], name: str) -> Path:
    """The file of a source in the first folder that has it. Raises: ConfigError: there is none."""
    for folder in folders:
        for suffix in (".txt", ".txt.xz", ".npz"):
            if (path := Path(folder) / (name + suffix)).exists():
                return path
    raise ConfigError(f"long, short: no {name}.txt, {name}.txt.xz or {name}.npz in {', '.join(folders)}")


def is_held_out(text: Text, start: int, end: int) -> bool:
    """Whether a document is held out: decided by its words alone, so a new run or a reordered file decides alike."""
    words = "".join(text.words[i] for i in text.ids[start : min(end, start + 50)])
    return zlib.crc32(words.encode()) % HELD_OUT == 0
