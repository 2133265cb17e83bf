"""Whether a language model mends what the recogniser misread: bigrams with Viterbi, then the blank filler."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product, repeat

import numpy as np
import numpy.typing as npt

from studies.mending import Mender, Scores, choose, neighbours
from studies.report import Options, Table, save, subplots
from studies.rows import Page, Printer, Reading, read_page, unseen
from tianzi_models.bundle import default_root
from tianzi_models.cloze.segment import folding
from tianzi_models.ocr.allowed import is_hanzi
from tianzi_models.ocr.lattice import Bigrams, Place, best_path
from tianzi_models.ocr.model import OcrModel
from tianzi_models.registry import load_model
from tianzi_training.cloze.data.corpus import variants
from tianzi_training.config import ClozeConfig, load_config
from tianzi_training.ocr.bigram_lm import EXPERIMENT, Counts, count_shares, make_bigrams, read_sources

LEVELS = ("clean", "15 % ink noise", "50 %", "75 %", "100 %")
CHARACTERS = (360, 960)  # at each level: to choose weights by, to test
WEIGHTS = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
MUS = (1e2, 3e2, 1e3, 3e3, 1e4)
THREE = 3  # candidates that the article's language model chooses among
DRAWS = 1000

Numbers = npt.NDArray[np.int64]
Lines = list[list[str]]
Decoder = Callable[[Reading], Lines]


@dataclass(frozen=True)
class Outcome:
    """(P,) of each page: places, misread ones, those within reach; of these mended, and of the others spoilt."""

    places: Numbers
    wrong: Numbers
    reach: Numbers
    mended: Numbers
    spoilt: Numbers


def run(options: Options) -> Table:
    """The study's command."""
    quick = options.quick
    held_out_of = load_config(ClozeConfig, EXPERIMENT).held_out
    known, held_out = read_sources(options.text, options.cache, held_out_of if quick else ())
    documents = unseen(held_out, [text for text, _ in known.values()])
    counts = count_shares(known)
    printer, rng = Printer(), np.random.default_rng(0)
    order = [documents[i] for i in rng.permutation(len(documents))]
    amounts, levels = ((120, 240), ("50 %", "100 %")) if quick else (CHARACTERS, LEVELS)
    chosen_by = printer.pages(order, rng, amounts[0])
    tested = printer.pages(order[len(chosen_by) :], rng, amounts[1])
    ocr = load_model("ocr", default_root(), device="cpu", threads=1)
    filler = load_model("cloze", default_root(), device="cpu", threads=1)
    assert isinstance(ocr, OcrModel)
    read = [read_page(ocr, printer, page, level, i) for level in levels for i, page in enumerate(chosen_by)]
    decoders, chosen = tune(read, counts, Mender(filler, folding(variants())))
    decoders["bigrams, as served"] = lambda one: [list(ocr.read_row(row)) for row in one.rows]
    outcomes, of_hanzi = {}, {}
    for level in levels:
        readings = [read_page(ocr, printer, page, level, 1000 + i) for i, page in enumerate(tested)]
        answers = {name: [decode(one) for one in readings] for name, decode in decoders.items()}
        outcomes[level] = {name: judge(readings, lines) for name, lines in answers.items()}
        of_hanzi[level] = {name: judge(readings, lines, hanzi=True) for name, lines in answers.items()}
    draw(options, outcomes)
    both = (outcomes, of_hanzi)
    return tabulate(both, chosen, (chosen_by, tested), f"ocr/{ocr.bundle.version}, cloze/{filler.bundle.version}")


def tune(readings: Sequence[Reading], counts: Counts, mender: Mender) -> tuple[dict[str, Decoder], dict[str, str]]:
    """Ways of reading, each with the weights that leave the fewest errors over all levels; and which these are."""
    forms = variants()
    article = make_bigrams(counts, forms, len(counts.singles))  # α = 1
    by_mu = {mu: make_bigrams(counts, forms, mu) for mu in MUS}

    def by_bigrams(one: Reading, bigrams: Bigrams, weight: float, candidates: int = THREE) -> Lines:
        return [list(best_path(cut(row, candidates), bigrams, weight)) for row in one.rows]

    def best(options: Iterable[tuple[float, ...]], decode: Callable[..., Iterable[Lines]]) -> tuple[float, ...]:
        return min(options, key=lambda option: sum(map(errors, readings, decode(*option))))

    mu, weight = best(product(MUS, WEIGHTS), lambda mu, w: (by_bigrams(one, by_mu[mu], w) for one in readings))
    bigrams = by_mu[mu]
    decoders: dict[str, Decoder] = {
        "bigrams, as the article": lambda one: by_bigrams(one, article, 1.0),
        "bigrams, tuned": lambda one: by_bigrams(one, bigrams, weight),
    }
    chosen = {"bigrams, tuned": f"weight {weight:g}, μ = {mu:g}"}
    for name, whole in (("blank filler, row", False), ("blank filler, page", True)):
        asked = [mender.scores(threes(one), first(one), whole) for one in readings]

        def by_filler(one: Reading, scores: Scores, w: float) -> Lines:
            return choose(threes(one), first(one), [scores], [w])

        (w,) = best([(w,) for w in WEIGHTS], lambda w, asked=asked: map(by_filler, readings, asked, repeat(w)))
        decoders[name] = lambda one, whole=whole, w=w: by_filler(one, mender.scores(threes(one), first(one), whole), w)
        chosen[name] = f"weight {w:g}"
    drafts = [by_bigrams(one, bigrams, weight) for one in readings]

    def evidence(one: Reading, draft: Lines) -> list[Scores]:
        scores = mender.scores(threes(one), draft, True)
        return [scores, neighbours(threes(one), draft, bigrams, scores)]

    def together(one: Reading, draft: Lines, scores: list[Scores], *weights: float) -> Lines:
        return choose(threes(one), draft, scores, weights)

    asked_twice = list(map(evidence, readings, drafts))
    both = best(product(WEIGHTS, WEIGHTS), lambda *w: map(together, readings, drafts, asked_twice, *map(repeat, w)))

    def by_both(one: Reading) -> Lines:
        draft = by_bigrams(one, bigrams, weight)
        return together(one, draft, evidence(one, draft), *both)

    decoders["both, page"] = by_both
    chosen["both, page"] = f"weights {both[0]:g}, and {both[1]:g} of the bigrams"
    return decoders, chosen


def cut(row: Sequence[Place], candidates: int) -> list[Place]:
    """The first candidates of each place."""
    return [dict(islice(place.items(), candidates)) for place in row]


def threes(reading: Reading) -> list[list[Place]]:
    """What the article's language model may choose among."""
    return [cut(row, THREE) for row in reading.rows]


def first(reading: Reading) -> Lines:
    """The recogniser's best candidates."""
    return [[next(iter(candidates)) for candidates in row] for row in reading.rows]


def errors(reading: Reading, lines: Lines) -> int:
    """How many places are wrong."""
    return sum(
        char not in forms
        for line, truth in zip(lines, reading.truth, strict=True)
        for char, forms in zip(line, truth, strict=True)
    )


def judge(readings: Sequence[Reading], answers: Sequence[Lines], hanzi: bool = False) -> Outcome:
    """What a way of reading does to the recogniser's best candidates. hanzi: only places where one stands count."""
    rows = []
    for one, lines in zip(readings, answers, strict=True):
        marks = [
            (best in forms, any(c in forms for c in islice(candidates, THREE)), char in forms)
            for row, truth, before, after in zip(one.rows, one.truth, first(one), lines, strict=True)
            for candidates, forms, best, char in zip(row, truth, before, after, strict=True)
            if not hanzi or is_hanzi(forms[0])
        ]
        right, near, after_right = np.array(marks, bool).reshape(-1, 3).T
        rows.append(
            [
                len(marks),
                (~right).sum(),
                (~right & near).sum(),
                (~right & after_right).sum(),
                (right & ~after_right).sum(),
            ]
        )
    return Outcome(*np.array(rows, np.int64).T)


def net_share(outcome: Outcome) -> tuple[float, float, float]:
    """(mended − spoilt) / misread, with a 95 % interval: pages drawn again, since a page's places are alike."""
    rng = np.random.default_rng(0)
    net, wrong = outcome.mended - outcome.spoilt, outcome.wrong
    drawn = rng.integers(len(net), size=(DRAWS, len(net)))
    shares = net[drawn].sum(1) / np.maximum(1, wrong[drawn].sum(1))
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(net.sum() / max(1, wrong.sum())), float(low), float(high)


def pool(outcomes: Sequence[Outcome]) -> Outcome:
    """The same pages at several levels."""
    names = Outcome.__dataclass_fields__
    return replace(outcomes[0], **{name: sum(getattr(one, name) for one in outcomes) for name in names})


def tabulate(
    outcomes: tuple[Mapping[str, Mapping[str, Outcome]], ...],
    chosen: Mapping[str, str],
    pages: tuple[Sequence[Page], Sequence[Page]],
    bundles: str,
) -> Table:
    """A row a level, and one for all of them; then the same of hanzi alone. outcomes: of all characters, of hanzi."""
    ways = list(next(iter(outcomes[0].values())))
    rows = []
    for levels, kind in zip(outcomes, ("", ", hanzi"), strict=True):
        pooled = {way: pool([levels[level][way] for level in levels]) for way in ways}
        for level, by_way in [*levels.items(), ("all", pooled)]:
            one = by_way[ways[0]]
            cells = [level + kind, f"{one.wrong.sum()} of {one.places.sum()}", str(one.reach.sum())]
            for way in ways:
                share, low, high = (f"{value * 100:.1f}".replace("-", "−") for value in net_share(by_way[way]))
                cells.append(f"{by_way[way].mended.sum()} − {by_way[way].spoilt.sum()}<br>{share} % ({low} to {high})")
            rows.append(cells)
    sizes = [sum(len(row) for page in part for row in page.rows) for part in pages]
    notes = [
        "Errors mended − right answers spoilt, and what remains as a share of all errors with its 95 % interval "
        "(pages drawn again).",
        f"{bundles}; {sizes[0]} characters of {len(pages[0])} documents at each level chose the weights, {sizes[1]} of "
        f"{len(pages[1])} others tested.",
        f"Chosen: {'; '.join(f'{name}: {what}' for name, what in chosen.items())}.",
    ]
    return Table(["level", "misread", "right one among the three", *ways], rows, notes)


def draw(options: Options, outcomes: Mapping[str, Mapping[str, Outcome]]) -> None:
    """Above, errors that remain; below, the net share mended with its interval."""
    figure, axes = subplots(2, 1, (9, 7.5), sharex=True)
    levels, ways = list(outcomes), list(next(iter(outcomes.values())))
    width = 0.8 / (len(ways) + 1)
    for number, way in enumerate(["recogniser alone", *ways]):
        places = np.arange(len(levels)) + (number - len(ways) / 2) * width
        pairs = [outcomes[level][ways[0] if number == 0 else way] for level in levels]
        left = [one.wrong.sum() - (0 if number == 0 else (one.mended - one.spoilt).sum()) for one in pairs]
        shares = [100 * n / one.places.sum() for n, one in zip(left, pairs, strict=True)]
        colour = "0.6" if number == 0 else f"C{number - 1}"
        axes[0, 0].bar(places, shares, width * 0.9, label=way, color=colour)
        if number:
            net = np.array([net_share(one) for one in pairs]) * 100
            spread = np.abs(net[:, 1:].T - net[:, 0])
            axes[1, 0].bar(
                places, net[:, 0], width * 0.9, label=way, color=colour, yerr=spread, ecolor="0.2", capsize=2
            )
    reach = [
        100 * outcomes[level][ways[0]].reach.sum() / max(1, outcomes[level][ways[0]].wrong.sum()) for level in levels
    ]
    axes[1, 0].plot(range(len(levels)), reach, "k_", ms=60, label="right one among the three")
    axes[0, 0].set(ylabel="characters wrong, %")
    axes[1, 0].set(ylabel="errors mended less spoilt, %")
    axes[1, 0].axhline(0, color="k", lw=0.8)
    axes[1, 0].set_xticks(range(len(levels)), [f"distorted at {v}" if v[-1] == "%" else v for v in levels])
    for one in axes[:, 0]:
        one.grid(alpha=0.3, axis="y")
    handles = [one for axis in axes[:, 0] for one in axis.get_legend_handles_labels()[0]]
    distinct = {one.get_label(): one for one in handles}
    figure.legend(distinct.values(), distinct, loc="outside lower center", ncols=4, fontsize=8)
    save(figure, options.figure("ocr-language-model"))
