"""What the tests of several trainings share."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.training.latin import FONT, LATIN
from tianzi_training.ocr.data.glyphs import Glyphs, render_font


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks and pictures that are too small for two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def latin() -> Glyphs:
    """Letters, digits and signs."""
    drawn = list(render_font(FONT, LATIN))
    return Glyphs(FONT, np.array([n for n, _ in drawn]), np.stack([glyph for _, glyph in drawn]))
