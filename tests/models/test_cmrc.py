"""CMRC's files: what is read, what is asked."""

from pathlib import Path

import pytest

from tianzi_models.cloze.cmrc import read_answers, read_doc_query, to_request
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput

DEV = Path(__file__).resolve().parents[3] / "shared/data/cmrc2017/dev"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_documents_and_questions(tmp_path: Path) -> None:
    text = "\ufeff1 ||| 小猴 爬 树 。\r\n\r\n2 ||| 树 很 高 ， ||| 是 的 。\r\n<qid_0> ||| XXXXX 爬 树 。\r\n"
    text += "1 ||| 鸟 。\n<qid_1> ||| XXXXX\n<qid_2> ||| XXXXX 。"
    assert list(read_doc_query(write(tmp_path / "a", text))) == [
        (
            "<qid_0>",
            ("小猴", "爬", "树", "。", "树", "很", "高", "，", "|||", "是", "的", "。"),
            ("XXXXX", "爬", "树", "。"),
        ),
        ("<qid_1>", ("鸟", "。"), ("XXXXX",)),
        ("<qid_2>", ("鸟", "。"), ("XXXXX", "。")),
    ]


def test_bad_bytes_and_missing_numbers_spoil_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes("1 ||| 鸟 ".encode() + b"\xff\n" + "没有 号\n<qid_0> ||| XXXXX\n".encode())
    assert list(read_doc_query(file)) == [("<qid_0>", ("鸟", "\ufffd", "没有", "号"), ("XXXXX",))]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("just a text\n", "first line lacks"), ("1 ||| 鸟\n<qid_0> ||| XXXXX\n1 ||| 鸟\n", "without a <qid_")],
)
def test_other_files_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        list(read_doc_query(write(tmp_path / "a", text)))


def test_answers(tmp_path: Path) -> None:
    assert read_answers(write(tmp_path / "a", "<qid_0> ||| 鸟\n\n<qid_2> ||| 树\n")) == {
        "<qid_0>": "鸟",
        "<qid_2>": "树",
    }
    for line in ("<qid_0> 鸟\n", "<qid_0> ||| \n", "鸟 ||| 树\n"):
        with pytest.raises(InvalidInput, match="line 1: must be <qid_N>"):
            read_answers(write(tmp_path / "a", line))


def test_query_is_asked_only_where_the_document_lacks_the_blank() -> None:
    query = ("XXXXX", "爬", "树")
    assert to_request(("XXXXX", "爬", "树", "。"), query, top_k=3) == ClozeRequest(
        ("XXXXX", "爬", "树", "。"), (), top_k=3, source="text"
    )
    assert to_request(("小猴", "。"), query) == ClozeRequest(("小猴", "。"), query, source="text")


@pytest.mark.skipif(not DEV.exists(), reason="the development questions are not here")
def test_development_questions() -> None:
    answers = read_answers(DEV / "cloze.answer")
    questions = list(read_doc_query(DEV / "cloze.doc_query"))
    assert [qid for qid, _, _ in questions] == list(answers)
    for qid, document, query in questions:
        assert answers[qid] in document
        assert document.count("XXXXX") == query.count("XXXXX") == 1
