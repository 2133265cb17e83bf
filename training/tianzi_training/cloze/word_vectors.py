"""Vectors of single words, each read alone by all layers of multilingual-e5-small."""

import numpy as np
import torch
from torch import Tensor

from tianzi_models.cloze.pieces import END, PAD, START
from tianzi_training.cloze.encoder import Encoder
from tianzi_training.cloze.losses import spelling_loss
from tianzi_training.cloze.net import ClozeNet

BATCH = 512
SPELLING_STEPS, SPELLING_WORDS = 400, 4096


def encode_words(encoder: Encoder, pieces: np.ndarray) -> Tensor:
    """pieces: (W, MAX_PIECES) → (W, width), the mean of the pieces' states."""
    found = []
    order = np.argsort((pieces != PAD).sum(1), kind="stable")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(order), BATCH):
            rows = torch.from_numpy(pieces[order[start : start + BATCH]].astype(np.int64))
            there = rows != PAD
            lengths = there.sum(1)
            framed = torch.full((len(rows), int(lengths.max()) + 2), PAD)
            framed[:, 0] = START
            framed[:, 1:-1] = rows[:, : framed.shape[1] - 2]
            framed[torch.arange(len(rows)), lengths + 1] = END
            mask = there[:, : framed.shape[1] - 2].unsqueeze(-1).float()
            found.append((encoder(framed)[:, 1:-1].float() * mask).sum(1) / mask.sum(1))
    vectors = torch.empty(len(order), found[0].shape[1])
    vectors[torch.from_numpy(order)] = torch.cat(found)
    return vectors


def principal(vectors: Tensor, width: int) -> Tensor:
    """The vectors' first principal components, (W, width), with a standard deviation of 1 over all of them."""
    centred = vectors - vectors.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh
    found = centred @ axes[:width].T
    return found / found.std()


def fit_spelling(net: ClozeNet, pieces: Tensor, steps: int = SPELLING_STEPS) -> float:
    """Teaches net.spell the lexicon's vectors from their words' pieces (W, P), nothing else; the last loss."""
    parameters = [*net.spell.parameters(), *net.spell_bias.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    loss = torch.zeros(())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        words = torch.randint(len(pieces), (min(SPELLING_WORDS, len(pieces)),), generator=generator)
        loss = spelling_loss(net, words, pieces[words])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        net.encoder.pieces.weight.grad = None
        optimizer.step()
    return float(loss.item())
