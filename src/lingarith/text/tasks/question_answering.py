"""Question answering as text in, text out: a question with its passage, and the answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from ...errors import LingarithError, MissingData, did_you_mean
from .. import hub
from ..corpora import files_of, known_to_newsroom
from ..rows import Row, text_of
from .labelled import NEWSROOM_SIZES, Labelled, TaskExample, check_request, filled, identified_rows, labelled

VALIDATION_SHARE = 0.1
"""The share of the passages of TyDi QA's train part that are kept for validation."""
PROMPT = "question: {question} context: {context}"
"""As T5 read SQuAD (Raffel et al., 2020, appendix D): a passage that is too long loses its end, never the question."""

Found = Iterator[tuple[str, str, str, tuple[str, ...]]]
"""Of each example: id, context, question, answers."""


def questions(
    source: str,
    language: str,
    split: str,
    *,
    context_field: str = "context",
    question_field: str = "question",
    answers_field: str = "answers",
    prompt: str = PROMPT,
    limit: int | None = None,
    seed: int = 0,
    folder: Path,
    progress: hub.Progress | None = None,
) -> Labelled:
    """Questions, passages and answers of a language and split (``train``, ``validation``, ``test``).

    ``source`` is ``newsroom`` (one question to each story), ``tydiqa`` (the gold passages, kept in
    ``folder`` once they have come from the hub) or a path pattern with ``{language}`` and ``{split}``,
    whose rows are as in SQuAD and may have an ``id``; see :func:`answers_of`. The first answer is the
    target, all of them are references; the passage is the example's ``article``.

    TyDi QA's answers to its test part are not public: its validation part serves as ``test``, and
    ``validation`` is cut from its train part by ``seed``, passage by passage, so that no passage is in
    both. Read the two with one seed.

    ``limit`` takes that many: the first stories of the newsroom, elsewhere a sample drawn by
    ``seed``, of which a smaller limit takes a part. Rows with a blank passage or question are left out.
    Raises :class:`LingarithError` for an unknown source, language, split or field, a prompt without
    ``{question}`` or ``{context}``, a row without answers, an id that stands twice, and where no
    example is left.

    >>> [example] = questions("newsroom", "en", "test", limit=1, folder=Path("unused")).examples
    >>> example.input.removesuffix(example.article), example.references
    ('question: What was the charge against Nadia Jansen? context: ', ('fraud',))
    """
    check_request(prompt, {"question": "question", "context": "passage"}, split, limit)
    known, _, revision = source.partition("@")
    if known == "newsroom":
        found = _newsroom(language, split, limit)
    elif known == "tydiqa":
        wanted = hub.tydiqa(language, split, revision)
        shard = hub.materialised(wanted, ("id", "context", "question"), folder, nested=("answers",), progress=progress)
        found = _tydiqa(shard, language, split, seed)
    else:
        paths = files_of(source, ("newsroom", "tydiqa"), language=language, split=split)
        found = _from_files(paths, split, context_field, question_field, answers_field)
    examples = [
        TaskExample(id, filled(prompt, question=question, context=context), answers[0], context, answers[1:])
        for id, context, question, answers in found
    ]
    if not examples:
        raise LingarithError(
            f"{source} holds no example of '{language}' ({split}) with text in '{context_field}' and '{question_field}'"
        )
    return labelled(task_name(source), language, split, source, examples, limit=limit, seed=seed)


def task_name(source: str) -> str:
    """What a vector trained on those questions is called.

    >>> task_name("newsroom"), task_name("tydiqa"), task_name("qa/{language}/{split}.jsonl")
    ('questions', 'tydiqa', 'answers')
    """
    known = source.partition("@")[0]
    return {"newsroom": "questions", "tydiqa": "tydiqa"}.get(known, "answers")


def answers_of(row: Row, field: str, where: str) -> tuple[str, ...]:
    """The different answers of a row, stripped and in their order; ``where`` names the row in errors.

    The field is a list of ``{"text": …}`` or of strings, the same column by column
    (``{"text": […]}``, as Parquet has it), or one string. Raises :class:`LingarithError` if it is
    missing, something else, or holds no answer.

    >>> answers_of({"answers": [{"text": "50"}, {"text": "fifty "}, {"text": "50"}]}, "answers", "line 1")
    ('50', 'fifty')
    """
    value = row.get(field)
    if isinstance(value, dict):
        value = value.get("text")
    if not isinstance(value, list):
        value = [text_of(row, field, where)]
    each = (one if isinstance(one, dict) else {"text": one} for one in value)
    answers = tuple(dict.fromkeys(filter(None, (text_of(one, "text", f"{where}, '{field}'") for one in each))))
    if not answers:
        raise LingarithError(f"{where}: the field '{field}' holds no answer; leave out questions that have none")
    return answers


def _newsroom(language: str, split: str, limit: int | None) -> Found:
    from ...newsroom.world import story
    from ...newsroom.writer import write

    known_to_newsroom(language)
    for number in range(limit or NEWSROOM_SIZES[split]):
        article = write(story(split, number), language)
        # One of each story's questions, so that examples are independent and tests of differences hold.
        question, answer = article.questions[number % len(article.questions)]
        yield f"{split}-{number}", article.text, question, (answer,)


def _tydiqa(shard: Path, language: str, split: str, seed: int) -> Found:
    """The rows of a language, whose name begins the id; without any, the error says which there are."""
    codes = {name: code for code, name in hub.TYDIQA.items()}
    there = set()
    for one in _from_files((shard,), split, "context", "question", "answers"):
        id, context, *_ = one
        code = codes.get(id.split("-")[0], "")
        there.add(code)
        if code != language:
            continue
        held_out = random.Random(f"{seed}/{context}").random() < VALIDATION_SHARE
        if split == "test" or held_out == (split == "validation"):
            yield one
    if language not in there:
        raise MissingData(f"tydiqa holds no '{language}' in {shard}{did_you_mean(language, there - {''})}")


def _from_files(
    paths: tuple[Path, ...], split: str, context_field: str, question_field: str, answers_field: str
) -> Found:
    for id, where, row in identified_rows(paths, split):
        context, question = text_of(row, context_field, where), text_of(row, question_field, where)
        answers = answers_of(row, answers_field, where)
        if context and question:
            yield id, context, question, answers
