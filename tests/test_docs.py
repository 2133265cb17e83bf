"""The documents say what the code does: tables against their source, links against the files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tianzi_service.rpc.errors import CODES
from tianzi_service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md")), *ROOT.glob("benchmarks/*.md")]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def settings_table() -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        default = "" if field.is_required() or field.default_factory or field.default is None else f"`{field.default}`"
        yield f"| `TIANZI_{name.upper()}` | {default} | {field.description} |"


def test_operations_lists_every_setting() -> None:
    table = "\n".join(settings_table())
    assert table in OPERATIONS, f"docs/operations.md, Settings: the table must be\n{table}"


def test_operations_lists_every_status() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| ([A-Z_]+) \|", OPERATIONS, re.MULTILINE))
    assert rows == {error.__name__: code.name for error, code in CODES.items()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    links += re.findall(r"(?:src|href)=\"(?!https?:|#)([^\"#]+)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing
