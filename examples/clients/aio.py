"""Many calls at once with asyncio: python examples/clients/aio.py [HOST:PORT]."""

import asyncio
import sys
from pathlib import Path

from tianzi import AsyncClient

EXAMPLES = Path(__file__).resolve().parents[1]


async def main(address: str = "localhost:50051") -> None:
    async with AsyncClient(address) as client:
        paths = sorted(EXAMPLES.glob("*.png"))
        # The server puts calls that meet into one run of the network.
        recognitions = await asyncio.gather(*(client.recognize(path) for path in paths))
        for path, recognition in zip(paths, recognitions, strict=True):
            print(path.name, recognition.text or "nothing readable")

        filling = await client.fill("小猫钓鱼，____很高兴。", top_k=2)
        print(*(f"{word.text} {word.confidence:.2f}" for word in filling.blanks[0].candidates))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
