"""Which pieces of a vocabulary some texts need, and a tokenizer of these alone.

A text whose pieces are all kept is cut as before. BPE builds a piece by merges, in an order of its own; each of them
makes a piece that is part of a final one, so what has to be kept is whatever stands in the trees of the final pieces,
and a merge that is not kept was never the first in line. Unigram's best cut stays the best among fewer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..errors import LingarithError

BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
BATCH = 256


def backend(tokenizer: PreTrainedTokenizerBase, name: str) -> dict[str, Any]:
    """What a tokenizer does, as its ``tokenizer.json`` says. Raises :class:`LingarithError` where it has none."""
    if not tokenizer.is_fast:
        raise LingarithError(f"the tokenizer of {name} has no tokenizer.json, so it cannot be trimmed; save it again")
    made: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return made


def used(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], progress: Callable[[int], None]) -> dict[int, int]:
    """How often each token stands in the texts."""
    counts: dict[int, int] = {}
    read, rows = 0, iter(texts)
    while batch := list(islice(rows, BATCH)):
        for row in cut(tokenizer, batch):
            for token in row:
                counts[token] = counts.get(token, 0) + 1
        read += len(batch)
        progress(read)
    return counts


def cut(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, nothing added."""
    encoded = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [one.ids for one in encoded]


def needed(
    made: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, tokens: Iterable[int], *, also: Collection[int] = ()
) -> list[int]:
    """The numbers of the pieces to keep, ascending: those of ``tokens`` with all that they are built from, byte
    pieces or the letters that stand for bytes, special tokens, and ``also``.

    Raises :class:`LingarithError` for a kind of vocabulary that is neither BPE nor Unigram.
    """
    kind, pieces = made["model"]["type"], _pieces(made)
    names = {number: piece for piece, number in pieces.items()}
    names |= {entry["id"]: entry["content"] for entry in made["added_tokens"]}
    special = {number for number in tokenizer.all_special_ids if number is not None}
    frames = {number for entry in _frames(made.get("post_processor")) for number in entry["ids"]}
    # Turns of a dialogue are added tokens that a template names.
    template = str(getattr(tokenizer, "chat_template", None) or "")
    turns = {entry["id"] for entry in made["added_tokens"] if entry["content"] in template}
    keep = {*tokens, *also, *special, *frames, *turns}
    letters = set(BYTES)
    if "ByteLevel" in json.dumps([made.get("pre_tokenizer"), made.get("decoder")]):
        from tokenizers.pre_tokenizers import ByteLevel

        letters |= set(ByteLevel.alphabet())
    keep |= {pieces[letter] for letter in letters if letter in pieces}
    if made["model"].get("unk_id") is not None:
        keep.add(made["model"]["unk_id"])
    if made["model"].get("unk_token") in pieces:
        keep.add(pieces[made["model"]["unk_token"]])
    if kind == "BPE":
        ranks = {pair: rank for rank, pair in enumerate(_merges(made))}
        keep |= {pieces[part] for number in [*keep] for part in parts(names[number], ranks) if part in pieces}
    elif kind == "Unigram":
        keep |= {pieces[letter] for number in [*keep] for letter in names[number] if letter in pieces}
    else:
        raise LingarithError(f"a vocabulary of the kind {kind} cannot be trimmed; BPE and Unigram can")
    return sorted(keep)


def parts(piece: str, ranks: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """All that stands in the tree of a piece of BPE: its letters, and whatever was merged on the way.

    >>> sorted(parts("abc", {("b", "c"): 0, ("a", "b"): 1, ("a", "bc"): 2}))
    ['a', 'abc', 'b', 'bc', 'c']
    """
    row = list(piece)
    yield from row
    while len(row) > 1:
        first = min(range(len(row) - 1), key=lambda k: ranks.get((row[k], row[k + 1]), len(ranks)))
        if (row[first], row[first + 1]) not in ranks:
            return  # an added token, which is made of nothing
        row[first : first + 2] = [row[first] + row[first + 1]]
        yield row[first]


def trimmed(made: Mapping[str, Any], keep: Sequence[int]) -> dict[str, Any]:
    """The ``tokenizer.json`` of the pieces ``keep`` alone, numbered in that order."""
    new = {old: number for number, old in enumerate(keep)}
    model, pieces = dict(made["model"]), _pieces(made)
    if model["type"] == "BPE":
        model["vocab"] = {piece: new[number] for piece, number in pieces.items() if number in new}
        left = model["vocab"]
        model["merges"] = [[a, b] for a, b in _merges(made) if a in left and b in left and a + b in left]
    else:
        model["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in new]
        model["unk_id"] = None if model["unk_id"] is None else new[model["unk_id"]]
    added = [entry | {"id": new[entry["id"]]} for entry in made["added_tokens"] if entry["id"] in new]
    framed = json.loads(json.dumps(made.get("post_processor")))
    for entry in _frames(framed):
        entry["ids"] = [new[number] for number in entry["ids"]]
    return {**made, "model": model, "added_tokens": added, "post_processor": framed}


def _pieces(made: Mapping[str, Any]) -> dict[str, int]:
    """Piece → number."""
    vocabulary = made["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary
    return {entry[0]: number for number, entry in enumerate(vocabulary)}


def _merges(made: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for merge in made["model"]["merges"]:
        a, b = merge if isinstance(merge, list) else merge.split(" ", 1)
        yield a, b


def _frames(processor: Any) -> Iterator[dict[str, Any]]:
    """The entries of a post-processor (or of several in a row) that name special tokens by their numbers."""
    if not processor:
        return
    for one in processor.get("processors", [processor]):
        yield from (one.get("special_tokens") or {}).values()
