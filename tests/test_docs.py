"""The documents say what the code does: tables against their source, links against the files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tianzi_service.rpc.errors import STATUSES
from tianzi_service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md")), *ROOT.glob("benchmarks/*.md")]
PUBLIC = (".github/workflows/ci.yml", ".github/ISSUE_TEMPLATE/bug.yml", "CITATION.cff")
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
    rows = re.findall(r"^\| (\w+) \| ([A-Z_]+) \| (\d{3}) \|", OPERATIONS, re.MULTILINE)
    assert rows == [(error.__name__, code.name, str(int(http))) for error, (code, http) in STATUSES.items()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    links += re.findall(r"(?:src|href)=\"(?!https?:|#)([^\"#]+)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


def test_public_files_parse_and_test_every_python() -> None:
    read = {name: yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in PUBLIC}
    tested = read[".github/workflows/ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    said = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert tested == said
    assert {"cff-version", "message", "title", "authors"} <= read["CITATION.cff"].keys()
    assert {"name", "description", "body"} <= read[".github/ISSUE_TEMPLATE/bug.yml"].keys()
