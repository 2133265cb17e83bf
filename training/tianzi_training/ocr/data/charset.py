"""The recogniser's classes, generated from public standards.

GB 2312 (6,763 hanzi) ∪ 通用规范汉字表 (2013; 8,105) ∪ Big5 level 1 (5,401 traditional), ASCII, and the
punctuation of Chinese and Western print. Forms that no single crop can tell apart share a class.
"""

from functools import cache
from pathlib import Path

# One line a level: 3,500 + 3,000 + 1,605 characters in the standard's order.
TGSCC = Path(__file__).with_name("tgscc2013.txt")

PUNCTUATION = "、。·—…～〈〉《》「」『』【】〔〕‘’“”¥€£°×÷±℃〇"

# ASCII marks whose full-width twin is what Chinese print has; a crop shows neither width nor margin.
CHINESE_FIRST = "，！？：；（）"

# Characters that a crop without margin and size cannot tell apart in one print or another.
LOOK_ALIKES = (
    "0Oo〇°。", "1Il|丨", "-—_一", "',‘’，、`", '"“”', ".·", "Cc", "Kk", "Pp", "Ss", "Uu", "Vv", "Ww", "Xx×", "Zz",
    "<〈", ">〉", "[〔", "]〕", "口囗", "/丿", "~～",
)  # fmt: skip


# Hanzi that differ by a stroke or its length, in groups: drawn more often in training, and measured by themselves.
CONFUSABLE = (
    "己已巳", "未末", "日曰", "戊戌戍", "土士", "人入八", "干千于", "天夭", "大太犬", "王玉主", "午牛", "刀力刁",
    "免兔", "令今", "拔拨", "治冶", "券卷", "折拆析", "晴睛", "侯候", "鸟乌", "贝见", "母毋毌", "几儿", "爪瓜", "束朿",
    "茶荼", "博搏", "辨辩辫", "栗粟", "祟崇", "毫亳", "历厉", "壶壸", "汩汨", "徒徙", "戎戒", "沦论", "狠狼", "盲肓",
    "暴瀑", "竞竟", "灸炙", "赢羸嬴", "掰辨", "幻幼", "冰水", "木本术", "目且自", "白臼", "田由甲申", "元无", "失矢",
    "开井", "石右", "仓仑", "斤斥", "万方", "尸户", "丐丏", "巾币", "夕歹", "勿匆", "禾乐", "仟任", "汕讪仙", "佘余",
    "冼洗", "筒简", "遗遣", "密蜜", "帅师", "垂乖", "氏氐", "甩用", "叉义", "凤风", "晃幌", "裸棵", "祛袪",
)  # fmt: skip


def fullwidth(char: str) -> str:
    """The full-width twin of a printable ASCII character: A → Ａ."""
    return chr(ord(char) + 0xFEE0)


@cache
def gb2312_hanzi() -> tuple[str, ...]:
    """Rows 16 to 87 of GB 2312: level 1 by pinyin, level 2 by radical."""
    cells = (bytes((0xA0 + row, 0xA0 + cell)) for row in range(16, 88) for cell in range(1, 95))
    return tuple(char for code in cells if (char := code.decode("gb2312", "ignore")))


@cache
def big5_level1() -> tuple[str, ...]:
    """Big5 level 1, A440 to C67E: the 5,401 traditional characters in common use."""
    trails = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
    codes = (bytes((lead, trail)) for lead in range(0xA4, 0xC7) for trail in trails)
    return tuple(char for code in codes if code <= b"\xc6\x7e" and (char := code.decode("big5", "ignore")))


@cache
def tgscc() -> tuple[str, str, str]:
    """The three levels of 通用规范汉字表."""
    first, second, third = TGSCC.read_text(encoding="utf-8").split()
    return first, second, third


def level1_hanzi() -> tuple[str, ...]:
    """GB 2312 level 1: the 3,755 most frequent simplified hanzi."""
    return gb2312_hanzi()[:3755]


def build_charset(hanzi: int = 0) -> list[str]:
    """One string a class: the character that is answered, then other forms of the same class.

    hanzi: only so many, the first ones, for quick comparisons; 0: all.
    """
    classes = []
    for code in range(0x21, 0x7F):
        plain, wide = chr(code), fullwidth(chr(code))
        if wide in PUNCTUATION:  # ～ is told from ~ by its length
            classes.append(plain)
        else:
            classes.append(wide + plain if wide in CHINESE_FIRST else plain + wide)
    classes += PUNCTUATION
    known = set("".join(classes))
    # Frequent first, so that equal scores are answered by the frequent one.
    first, second, third = tgscc()
    by_frequency = dict.fromkeys((*level1_hanzi(), *first, *gb2312_hanzi(), *second, *third, *big5_level1()))
    return classes + [char for char in by_frequency if char not in known][: hanzi or None]


def look_alikes(forms: str) -> set[str]:
    """A class's forms and all that LOOK_ALIKES puts beside them."""
    alike = set(forms)
    for group in LOOK_ALIKES:
        if alike & set(group):
            alike |= set(group)
    return alike
