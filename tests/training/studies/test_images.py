"""idx files are checked before they are believed; parts never share a picture or a font."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from studies import images
from studies.images import FASHION, MNIST, read_idx, read_split, render_characters
from studies.report import Options
from tests.training.studies.conftest import draw_digits, write_idx
from tianzi_training.config import ConfigError


def test_an_idx_file_is_read(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    md5 = write_idx(tmp_path / "a.gz", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz", [md5]), array)


def test_a_copy_that_was_packed_anew_is_known_by_its_content(tmp_path: Path) -> None:
    data = bytes((0, 0, 8, 1, 0, 0, 0, 2, 7, 9))
    (tmp_path / "a.gz").write_bytes(gzip.compress(data, mtime=12345))
    # md5 of those ten bytes, by md5sum
    assert read_idx(tmp_path / "a.gz", ["1e811a5578e179d1441be42edd440758"]).tolist() == [7, 9]


def test_another_sum_is_refused(tmp_path: Path) -> None:
    md5 = write_idx(tmp_path / "a.gz", np.zeros(4, np.uint8))
    changed = bytearray((tmp_path / "a.gz").read_bytes())
    changed[4] ^= 1  # the time of packing
    (tmp_path / "a.gz").write_bytes(changed)
    with pytest.raises(ConfigError, match=rf"a\.gz: MD5 [0-9a-f]{{32}}, must be {md5}"):
        read_idx(tmp_path / "a.gz", [md5])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\0\0\x0d\1\0\0\0\1....", "begins with 00000d01, must be 000008NN"),
        (b"\0\0\x08\1\0\0\0\3ab", "10 bytes, not what its header says"),
        (b"\0\0\x08\3\0\0\0\3ab", "10 bytes, not what its header says"),
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    with pytest.raises(ConfigError, match=said):
        read_idx(tmp_path / "a.gz", [hashlib.md5(data).hexdigest()])
    (tmp_path / "a.gz").write_bytes(gzip.compress(data)[:-4])
    with pytest.raises(ConfigError, match="not a whole gzip file"):
        read_idx(tmp_path / "a.gz", [])


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no Fashion-MNIST files .*zalandoresearch/fashion-mnist"):
        read_split(tmp_path, "Fashion-MNIST", FASHION)


def test_the_parts_share_no_picture(tmp_path: Path) -> None:
    sums = {}
    for half, count in (("train", 240), ("t10k", 50)):
        pictures, labels = draw_digits(count, count)
        for name, array in ((f"{half}-images-idx3-ubyte.gz", pictures), (f"{half}-labels-idx1-ubyte.gz", labels)):
            sums[name] = (write_idx(tmp_path / name, array),)
    assert list(sums) == list(MNIST) == list(FASHION)
    whole = read_split(tmp_path, "MNIST", sums)
    assert [len(part) for part in (whole.train, whole.validation, whole.test)] == [220, 20, 50]
    np.testing.assert_array_equal(whole.test.images, draw_digits(50, 50)[0])
    for name in list(sums)[:2]:
        (tmp_path / name).unlink()
    half_of_it = read_split(tmp_path, "MNIST", sums)
    parts = (half_of_it.train, half_of_it.validation, half_of_it.test)
    assert [len(part) for part in parts] == [32, 8, 10]
    for data in (whole, half_of_it):
        seen = [image.tobytes() for part in (data.train, data.validation, data.test) for image in part.images]
        assert len(set(seen)) == len(seen)


def test_characters_are_rendered_from_fonts_apart(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    real = images._render
    monkeypatch.setattr(images, "_render", lambda rng, fonts, *rest: used.append(fonts) or real(rng, fonts, *rest))
    data = render_characters("ABC", (64, 33, 32), 24, level=0.3)
    names = [{g.font.name for g in fonts} for fonts in used]
    assert names[2] == {"DejaVuSansMono"}
    assert names[0] and names[1] and not (names[0] & names[1] or (names[0] | names[1]) & names[2])
    assert data.validation.images.shape == (33, 24, 24) and set(data.train.labels) == {0, 1, 2}
    again = render_characters("ABC", (64, 33, 32), 24, level=0.3)
    np.testing.assert_array_equal(data.test.images, again.test.images)
