"""One picture, one text, then many pictures over one stream: python examples/clients/sync.py [HOST:PORT]."""

import sys
from pathlib import Path

from tianzi import Client, InvalidInput, TianziError

EXAMPLES = Path(__file__).resolve().parents[1]


def main(address: str = "localhost:50051") -> None:
    with Client(address) as client:
        recognition = client.recognize(EXAMPLES / "tian.png", top_k=3)
        for candidate in recognition.candidates:
            print(f"{candidate.text}  {candidate.confidence:.1%}")

        filling = client.fill("小猫钓鱼，____很高兴。", candidates=["小猫", "小狗"])
        print(filling.text)

        try:
            client.recognize(b"no picture")
        except InvalidInput as error:
            print("refused:", error)

        # As many as you like: they are sent and answered as they come, in order, and a bad one is its own error.
        paths = [*sorted(EXAMPLES.glob("*.png")), EXAMPLES / "stories.jsonl"]
        for path, result in zip(paths, client.recognize_many(paths), strict=True):
            print(path.name, type(result).__name__ if isinstance(result, TianziError) else result.text)


if __name__ == "__main__":
    main(*sys.argv[1:])
