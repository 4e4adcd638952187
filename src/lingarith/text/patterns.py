"""Which files a path pattern such as ``data/summ/{language}/{split}.jsonl.gz`` means."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from ..disk.files import expanded
from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import counterpart

SPLITS = {"train": ("train", "training"), "validation": ("validation", "val", "dev", "valid"), "test": ("test",)}
"""The splits, and how files spell each; the first spelling that exists is taken."""
PLACEHOLDERS = ("language", "split")


def matching_files(pattern: str, *, language: str, split: str | None = None) -> tuple[Path, ...]:
    """The files of a language (and split), sorted by name; the pattern may hold ``* ? [] **`` too.

    ``split`` is a key of :data:`SPLITS`, or None for text that has no splits. Raises
    :class:`LingarithError` for an unknown placeholder, language or split, and where no file matches.
    """
    for name in re.findall(r"{([^{}]*)}", pattern):
        if name not in PLACEHOLDERS:
            raise LingarithError(
                f"the pattern '{pattern}' holds {{{name}}}, and only {{language}} and {{split}} can be filled in"
            )
    check_code(language)
    if split is None and "{split}" in pattern:
        raise LingarithError(
            f"the pattern '{pattern}' holds {{split}}, and plain text has no splits; write the file's name instead"
        )
    for spelling in _spellings(split):
        found = _glob(pattern.replace("{language}", language).replace("{split}", spelling))
        if found:
            return found
    raise MissingData(_no_file(pattern, language, split))


def check_code(language: str) -> None:
    """Raise :class:`LingarithError` for what can be no code of a language; files may have codes of their own."""
    if not re.fullmatch(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", language):
        raise LingarithError(f"'{language}' is no language code; write one such as pt or zh-Hans")


def _spellings(split: str | None) -> tuple[str, ...]:
    if split is None:
        return ("",)
    if split not in SPLITS:
        raise LingarithError(f"there is no split '{split}'{did_you_mean(split, SPLITS)}")
    return SPLITS[split]


def _glob(pattern: str) -> tuple[Path, ...]:
    literal = expanded(pattern)
    if literal.is_file():  # also a name that happens to hold a bracket
        return (literal,)
    return tuple(path for path in map(Path, sorted(glob.glob(str(literal), recursive=True))) if path.is_file())


def files_like(pattern: str) -> tuple[Path, ...]:
    """The files of a pattern for any language and split, sorted by name."""
    return _glob(re.sub(r"{(language|split)}", "*", pattern))


def existing(pattern: str) -> set[tuple[str, str]]:
    """The pairs (language, split as files spell it) that have files; "" for a missing placeholder."""
    whole = str(expanded(pattern))
    as_regex = re.escape(whole)
    for wildcard, regex in {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.items():
        as_regex = as_regex.replace(re.escape(wildcard), regex)
    for name in PLACEHOLDERS:
        brace = re.escape(f"{{{name}}}")
        as_regex = as_regex.replace(brace, f"(?P<{name}>[^/]+?)", 1).replace(brace, f"(?P={name})")
    pairs = set()
    for path in glob.glob(re.sub(r"{(language|split)}", "*", whole), recursive=True):
        match = re.fullmatch(as_regex, path)
        if match and Path(path).is_file():
            named = match.groupdict()
            pairs.add((named.get("language", ""), named.get("split", "")))
    return pairs


def _no_file(pattern: str, language: str, split: str | None) -> str:
    wanted = pattern.replace("{language}", language).replace("{split}", split or "")
    pairs = existing(pattern)
    splits = sorted({found for code, found in pairs if code in ("", language)} - {""})
    spellings = _spellings(split) if split and "{split}" in pattern else ("",)
    languages = {code for code, found in pairs if found in spellings} - {""}
    if splits:
        there = f"the splits of '{language}' there are: {', '.join(splits)}"
        return f"no file {wanted}; {there}" + (f"; languages with {split}: {_listed(languages)}" if languages else "")
    if languages:
        meant = counterpart(language, languages)  # files may have codes of their own: por_Latn
        return f"no file {wanted}" + (f"; did you mean {meant}?" if meant else did_you_mean(language, languages))
    if pairs:
        return f"no file {wanted}; files exist for {_listed({'/'.join(filter(None, pair)) for pair in pairs})}"
    if not re.search(r"[{*?\[]", pattern):
        folder = expanded(pattern).parent
        if not folder.is_dir():
            return f"no file {pattern}, for there is no folder {folder}"
        return f"no file {pattern}{did_you_mean(Path(pattern).name, (path.name for path in folder.iterdir()))}"
    return f"no file matches '{pattern}' for any language{' or split' if split else ''}"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def is_path(source: str) -> bool:
    """Whether data are given as a path (pattern), not by a name such as ``xlsum`` or ``mc4@<commit>``.

    >>> is_path("summ/{language}.jsonl"), is_path("mc4@3f2a")
    (True, False)
    """
    return re.fullmatch(r"[\w-]+(@\w+)?", source) is None
