"""NVIDIA's client for Triton, unchanged, over the Open Inference Protocol.

pip install 'tritonclient[grpc]', then: python examples/clients/triton.py [HOST:PORT]
"""

import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

EXAMPLES = Path(__file__).resolve().parents[1]


def main(address: str = "localhost:50051") -> None:
    client = InferenceServerClient(address)
    assert client.is_model_ready("ocr")

    files = sorted(EXAMPLES.glob("*.png"))
    image = InferInput("image", [len(files)], "BYTES")
    image.set_data_from_numpy(np.array([file.read_bytes() for file in files], dtype=object))
    outputs = [InferRequestedOutput("character"), InferRequestedOutput("confidence")]
    answer = client.infer("ocr", [image], outputs=outputs)
    characters, confidences = answer.as_numpy("character"), answer.as_numpy("confidence")
    for file, character, confidence in zip(files, characters, confidences, strict=True):
        print(file.name, character.decode() or "nothing readable", f"{confidence:.2f}")

    text = InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array(["小猫钓鱼，____很高兴。".encode()], dtype=object))
    answer = client.infer("cloze", [text])
    print("".join(word.decode() for word in answer.as_numpy("answer")[0]))
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
