"""Writes ``data/real``, the texts of ``make real``, from checkouts of the two repositories that they come from.

    python -m tools.real SIB-200-CHECKOUT NTREX-CHECKOUT

The first is https://github.com/dadelani/sib-200, the second https://github.com/MicrosoftTranslator/NTREX.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "real"
LANGUAGES = {
    "en": ("eng_Latn", "eng-US"),
    "pt": ("por_Latn", "por"),
    "yo": ("yor_Latn", "yor"),
    "si": ("sin_Sinh", "sin"),
}
"""Code → what SIB-200 and NTREX-128 call it; of English NTREX has the original under another name."""
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
SENTENCES = 8
"""Of SIB-200 in a document of plain text: they stand alone there, and are short."""


def topics(checkout: Path, name: str, split: str) -> list[dict[str, str]]:
    """The rows of a language and split."""
    with open(checkout / "data" / "annotated" / name / f"{split}.tsv", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [{"id": row["index_id"], "text": row["text"].strip(), "category": row["category"]} for row in rows]


def documents(checkout: Path, name: str) -> Iterator[dict[str, str]]:
    """The news of a language, a document a row."""
    kind = "src.eng" if name == "eng-US" else f"ref.{name}"
    lines = (checkout / "NTREX-128" / f"newstest2019-{kind}.txt").read_text(encoding="utf-8").splitlines()
    ids = (checkout / "DOCUMENT_IDS.tsv").read_text(encoding="utf-8").split()
    if len(lines) != len(ids):
        raise SystemExit(f"{name}: {len(lines)} lines and {len(ids)} names of documents")
    for document, rows in groupby(zip(ids, lines, strict=True), key=lambda row: row[0]):
        yield {"id": f"ntrex:{document}", "text": "\n".join(line.strip() for _, line in rows)}


def plain(sib: Path, ntrex: Path, names: tuple[str, str]) -> Iterator[dict[str, str]]:
    """Plain text: the training sentences of SIB-200 without their labels, then the news."""
    sentences = topics(sib, names[0], "train")
    for first in range(0, len(sentences), SENTENCES):
        few = sentences[first : first + SENTENCES]
        yield {"id": f"sib200:{few[0]['id']}", "text": "\n".join(row["text"] for row in few)}
    yield from documents(ntrex, names[1])


def write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """One object a line, gzipped without a date, so that equal rows are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(content.encode(), mtime=0))
    print(f"{path.relative_to(FOLDER)}: {content.count(chr(10))} rows, {path.stat().st_size / 1000:.0f} kB")


def main(sib: Path, ntrex: Path) -> None:
    """English has labels to train on, the others to choose and to test."""
    for code, names in LANGUAGES.items():
        for split, ours in SPLITS.items():
            if code == "en" or split != "train":
                write(FOLDER / "topics" / code / f"{ours}.jsonl.gz", topics(sib, names[0], split))
        write(FOLDER / "text" / f"{code}.jsonl.gz", plain(sib, ntrex, names))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
