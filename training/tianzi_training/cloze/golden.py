"""Requests for golden.json of a cloze bundle: one of each kind that a caller may send."""

from typing import Any

CLOZE_REQUESTS: list[dict[str, Any]] = [
    {
        "text": "小河边住着一只青蛙和一只乌龟。青蛙会跳，乌龟会游。下雨那天，河水涨了，青蛙跳上石头，"
        "XXXXX慢慢地游到岸边。雨停了，青蛙和乌龟又在一起晒太阳。",
        "top_k": 3,
    },
    {
        "text": "木匠做了一张桌子，铁匠打了一口铁锅。木匠想用桌子换____，可是（ ）已经把它卖给了厨师。",
        "top_k": 2,
    },
    {
        "tokens": [*list("姐种了一盆花，每天给"), "[MASK]", *list("浇水。三个月后，花开了，姐很高兴。")],
        "top_k": 3,
    },
    {
        "text": "裁縫給國王做了一件新衣。國王穿上新衣，走到街上，人人都說好看。",
        "query": "孩子看著XXXXX，笑了起來。",
        "top_k": 3,
    },
    {
        "text": "爷爷从井里打上一桶水，倒进缸里。小孙子问：“这〇是甜的吗？”",
        "marker": "〇",
        "candidates": ["水", "井", "糖果"],
        "top_k": 3,
    },
]
