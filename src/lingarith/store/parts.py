"""What two backbones differ in, where the origin of a vector says what its own is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW = 3
"""Keys that are named; of more it is said how many there are."""


def differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """What differs between a vector's backbone and the one at hand; empty where that is not known.

    Both are parts of backbones: ``configuration``, and hashes of ``weights`` and ``vocabulary``.

    >>> one, other = ({"configuration": {"act": act}, "weights": "a1", "vocabulary": v} for act, v in ("xw", "yw"))
    >>> differing(one, other)
    "its act is 'x' and 'y' here"
    >>> differing({**one, "weights": "b2", "vocabulary": "c3"}, one)
    'its weights and vocabulary are others'
    """
    if not theirs or not ours:
        return ""
    if "sampled" in {*theirs} ^ {*ours}:  # hashes of another kind say nothing
        theirs, ours = ({**one, "weights": None} for one in (theirs, ours))
    its, own = theirs.get("configuration") or {}, ours.get("configuration") or {}
    keys = [key for key in sorted({*its, *own}) if its.get(key) != own.get(key)]
    named = [f"its {key} is {its.get(key)!r} and {own.get(key)!r} here" for key in keys[:FEW]]
    more = [f"{len(keys) - FEW} other keys of its configuration differ"] if len(keys) > FEW else []
    others = [what for what in ("weights", "vocabulary") if theirs.get(what) != ours.get(what)]
    rest = (
        [f"its {' and '.join(others)} {'are others' if others != ['vocabulary'] else 'is another'}"] if others else []
    )
    return ", ".join([*named, *more, *rest])


def same_backbone(origin: Mapping[str, Any], fingerprint: str, parts: Mapping[str, Any]) -> bool:
    """Whether a vector's origin names a backbone, by its fingerprint or by the one that it had before.

    That one sampled the weights, so equal ones say that nothing differs as far as was looked then.
    """
    return origin["backbone"]["fingerprint"] in (fingerprint, parts.get("sampled"))
