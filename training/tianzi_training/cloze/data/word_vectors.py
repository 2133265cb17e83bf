"""Word vectors by word2vec (skip-gram), for a network's word embedding to start from."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from gensim.models import Word2Vec

from tianzi_training.cloze.data.corpus import Text
from tianzi_training.config import ClozeConfig

SCALE = 0.3  # standard deviation after scaling, that of the other embeddings
CHUNK = 200  # words that are handed over as one sentence


class _Chunks:
    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts = texts

    def __iter__(self) -> Iterator[list[str]]:
        for text in self.texts:
            words = np.array(text.words, dtype=object)
            for start in range(0, len(text.ids), CHUNK):
                yield words[text.ids[start : start + CHUNK]].tolist()


def word_vectors(texts: Sequence[Text], words: Sequence[str], config: ClozeConfig) -> np.ndarray:
    """(len(words), width) float32, NaN for words that are too rare to have one. Cached."""
    state = f"{config.width} {config.word2vec_epochs} {config.seed} {[len(t.ids) for t in texts]}"
    digest = hashlib.sha256((state + "\n".join(words)).encode()).hexdigest()[:12]
    file = Path(config.cache_folder) / f"vectors-{digest}.npy"
    if not file.exists():
        model = Word2Vec(
            _Chunks(texts),
            vector_size=config.width,
            epochs=config.word2vec_epochs,
            seed=config.seed,
            sg=1,
            min_count=3,
            sample=1e-4,
            workers=max(1, config.threads),
        ).wv
        vectors = np.full((len(words), config.width), np.nan, np.float32)
        for i, word in enumerate(words):
            if word in model:
                vectors[i] = model[word]
        vectors *= SCALE / np.nanstd(vectors)
        temporary = file.with_suffix(".tmp")
        with temporary.open("wb") as out:
            np.save(out, vectors)
        temporary.replace(file)
    loaded: np.ndarray = np.load(file)
    return loaded
