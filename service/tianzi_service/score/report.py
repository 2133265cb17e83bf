"""The report of a run: one HTML file that needs nothing from elsewhere."""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from tianzi_service.score.tally import BINS, Tally, Uncertain

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #64748b; --line: #d9e0e8; --card: #f6f8fa; --bar: #0e7490;
  --other: #c2410c; --ground: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #94a3b8; --line: #2f3945; --card: #171d25;
  --bar: #22b8cf; --other: #fb923c; --ground: #0d1117; } }
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
p, td, th, figcaption { color: var(--soft); } td b, .card b { color: var(--ink); }
dl { display: flex; flex-wrap: wrap; gap: 1rem; } dl div { background: var(--card); border-radius: .5rem;
  padding: .6rem 1rem; min-width: 7rem; } dt { color: var(--soft); } dd { margin: 0; font-size: 1.4rem; }
table { border-collapse: collapse; width: 100%; } td, th { border-top: 1px solid var(--line); padding: .3rem .6rem;
  text-align: left; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
.answered { fill: var(--bar); } .rejected { fill: var(--other); } .axis { stroke: var(--line); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .8rem; }
.texts { grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
.card { background: var(--card); border-radius: .5rem; padding: .7rem; overflow-wrap: anywhere; font-size: .85rem; }
.card img { display: block; height: 96px; max-width: 100%; object-fit: contain; margin: 0 auto .5rem;
  background: #fff; }
.card b { font-size: 1.1rem; }
"""
WIDTH, HEIGHT, FOOT, LEFT = 800, 220, 24, 60


def page(tally: Tally, facts: Mapping[str, str], seconds: float) -> str:
    """The whole file. facts: what was done, by its name. seconds: how long this took."""
    numbers = {
        "items": f"{tally.items:,}",
        "errors": f"{tally.failed:,}",
        "rejected": f"{tally.rejected:,}",
        "rejected share": f"{tally.rejected_share:.2%}",
        "seconds": f"{seconds:,.1f}",
    }
    parts = [
        "<h1>填字 tianzi: a report of score</h1>",
        _table({**facts, "model version": ", ".join(map(str, tally.versions))}.items()),
        _numbers(numbers),
        "<h2>Confidence of the best candidate</h2>",
        _histogram("answered", tally.answered),
    ]
    if tally.rejected:
        parts.append(_histogram("rejected", tally.rejected_bins))
    if tally.errors:
        parts += ["<h2>Errors by kind</h2>", _errors(tally)]
    if tally.uncertain:
        parts += ["<h2>Least certain of those answered</h2>", _cards(tally.uncertain)]
    if tally.refused:
        parts += ["<h2>Rejected, with what each looked like most</h2>", _cards(tally.refused)]
    parts.append(f"<p>Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.</p>")
    head = f'<meta charset="utf-8"><title>tianzi score</title><style>{STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width">'
    return f'<!doctype html><html lang="en"><head>{head}{view}</head><body>{"".join(parts)}</body></html>\n'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{_text(name)}</th><td><b>{_text(value)}</b></td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _numbers(numbers: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers.items()) + "</dl>"


def _histogram(name: str, counts: Sequence[int]) -> str:
    """Bars of counts; each tells its figures when it is pointed at."""
    highest = max(*counts, 1)
    step = (WIDTH - LEFT) / BINS
    marks = []
    for number, count in enumerate(counts):
        height = round(HEIGHT * count / highest, 1)
        if count:
            height = max(height, 1.0)  # one among millions is still seen
        title = f"<title>{number / BINS:.2f} to {(number + 1) / BINS:.2f}: {count:,}</title>"
        x, y = round(LEFT + number * step + 1, 1), round(HEIGHT - height, 1)
        marks.append(f'<rect class="{name}" x="{x}" y="{y}" width="{step - 2:.1f}" height="{height}">{title}</rect>')
    for number in range(0, BINS + 1, BINS // 10):
        x = round(LEFT + number * step, 1)
        marks.append(f'<text x="{x}" y="{HEIGHT + 16}" text-anchor="middle">{number / BINS:.1f}</text>')
    marks.append(f'<text x="{LEFT - 8}" y="11" text-anchor="end">{highest:,}</text>')
    marks.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>')
    drawn = f'<svg viewBox="0 0 {WIDTH + 12} {HEIGHT + FOOT}" role="img">{"".join(marks)}</svg>'
    return f"<figure>{drawn}<figcaption>{name}: {sum(counts):,} items</figcaption></figure>"


def _errors(tally: Tally) -> str:
    rows = "".join(
        f"<tr><td><b>{count:,}</b></td><td>{_text(kind)}</td><td>{_text(tally.examples.get(kind, ''))}</td></tr>"
        for kind, count in tally.errors.most_common()
    )
    return f"<table><tr><th>items</th><th>kind</th><th>one of them</th></tr>{rows}</table>"


def _cards(items: Sequence[Uncertain]) -> str:
    pictures = any(item.picture for item in items)
    cards = "".join(
        f'<div class="card">{_shown(item)}<b>{_text(item.answers)}</b> {item.confidence:.4f}<br>{_text(item.id)}</div>'
        for item in items
    )
    return f'<div class="cards{"" if pictures else " texts"}">{cards}</div>'


def _shown(item: Uncertain) -> str:
    if item.picture:
        return f'<img alt="" src="data:image/png;base64,{item.picture}">'
    return f"<div>{_text(item.text)}</div>"


def _text(value: str) -> str:
    return html.escape(value)
