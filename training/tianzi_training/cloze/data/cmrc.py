"""CMRC 2017's and People's Daily's question files as training text: answers filled in, their places kept."""

from pathlib import Path

import numpy as np

from tianzi_models.cloze.cmrc import BLANK, read_answers, read_doc_query, to_request
from tianzi_models.cloze.segment import folding
from tianzi_models.cloze.text import RESERVED, SEPARATOR
from tianzi_training.cloze.data.corpus import Text, variants
from tianzi_training.config import ConfigError


def read_questions(folder: Path) -> tuple[Text, np.ndarray]:
    """Every NAME.doc_query of a folder with its NAME.answer, a document a question, and the places of its blanks.

    A query that its document lacks follows it behind a separator, as the server hands it to the network.

    Raises:
        ConfigError: there are no such files, or a question has no answer.
        InvalidInput: a file is of another format.
    """
    files = sorted(folder.glob("*.doc_query"))
    if not files:
        raise ConfigError(f"questions: no .doc_query file in {folder}")
    table = folding(variants())
    types: dict[str, int] = {}
    ids: list[int] = []
    ends, places = [], []
    for file in files:
        answers = read_answers(file.with_suffix(".answer"))
        for qid, document, query in read_doc_query(file):
            if qid not in answers:
                raise ConfigError(f"{file.with_suffix('.answer')}: no answer for {qid}")
            request = to_request(document, query)
            tokens = [*request.document, *((RESERVED[SEPARATOR], *request.query) if request.query else ())]
            if tokens.count(BLANK) != 1:
                continue  # a blank glued to a word, or several of them: none of the official sets means that
            place = tokens.index(BLANK)
            tokens[place] = answers[qid]
            places.append(len(ids) + place)
            ids += [types.setdefault(token.translate(table), len(types)) for token in tokens]
            ends.append(len(ids))
    text = Text(list(types), np.array(ids, np.int32), np.array(ends), np.array(ends))
    return text, np.array(places)
