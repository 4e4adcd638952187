"""What PEFT's folders have in common, whichever adapter is in them: their files, and a header.

``adapter_config.json`` says how ``adapter_model.safetensors`` is read, ``lingarith.json`` where it
comes from, and ``README.md`` both to people. Keys are those of PEFT 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..disk.files import arrived, json_bytes, must_be_ours, read_json, replacing, write_file
from ..disk.tensors import TensorFile, pieces
from ..errors import LingarithError
from ..store.objects import LARGEST_SCALE
from ..vectors.composition import Composition
from ..vectors.outline import Terms
from .card import CARD, EVALUATED, card, untouched
from .snippets import PEFT

TaskType = Literal["SEQ_2_SEQ_LM", "CAUSAL_LM"]

SCHEMA = 1
CONFIG, WEIGHTS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "lingarith.json"
PEFT_VERSION = "0.21.0"

UNSUPPORTED = {"modules_to_save": "it replaces whole modules"}
"""Keys that, when set, make an adapter of any kind more than scales and factors."""
PATTERNS = ("rank_pattern", "alpha_pattern")
"""Keys that give some modules an r or α of their own."""

LARGEST_RANK = 10**6

Sizes = Callable[[str], tuple[int, float]]
"""Path of a module → its r and α."""


@dataclass(frozen=True)
class PeftFormat:
    """One kind of adapter: PEFT's name of it (``LORA``), ours, its key of α, and keys that make it more than plain."""

    peft_type: str
    name: str
    alpha: str
    unsupported: Mapping[str, str]

    def write(
        self,
        composition: Composition,
        folder: Path,
        settings: Mapping[str, Any],
        factors: Callable[[Terms], Iterable[tuple[str, Tensor]]],
        *,
        base_model: str,
        task_type: TaskType,
        origin: Mapping[str, Any] | None,
    ) -> None:
        """Write a composition, as :func:`.peft.write_peft` says.

        ``settings`` are the keys of this kind alone, and ``factors`` gives the tensors of terms, or of
        their outline, under PEFT's names.
        """
        folder = folder.resolve()
        must_be_ours(folder, ours(folder, CONFIG, WEIGHTS), ORIGIN)
        origin = origin or {}
        config = {
            "peft_type": self.peft_type,
            "peft_version": PEFT_VERSION,
            "task_type": task_type,
            "base_model_name_or_path": base_model,
            "revision": (origin.get("backbone") or {}).get("revision"),
            "inference_mode": True,
            **settings,
            "modules_to_save": None,
            **{key: {} for key in PATTERNS},
            # A list would also match every module whose path *ends* in one of these; a pattern is matched whole.
            "target_modules": "|".join(re.escape(path) for path in composition.paths),
        }
        shapes = dict(factors(composition.outline))
        with replacing(folder) as temporary:
            content = pieces(shapes, factors(composition.terms), f"update for {folder}", {"format": "pt"})
            write_file(temporary / WEIGHTS, content)
            write_file(temporary / CONFIG, json_bytes(config))
            describe(temporary, composition, origin, config)

    def read(self, folder: Path) -> tuple[dict[str, Any], Sizes]:
        """The configuration in a folder, and what r and α it gives a module.

        Raises :class:`LingarithError` saying why when the adapter is another, or more than plain.
        """
        config = read_json(arrived(folder, CONFIG), mend="name a folder that PEFT's save_pretrained wrote")
        where, kind = folder / CONFIG, config.get("peft_type")
        if kind != self.peft_type:
            raise LingarithError(f"{where}: an adapter of type {kind!r} cannot be read; only {self.name} can")
        for key, reason in {**self.unsupported, **UNSUPPORTED}.items():
            if config.get(key):
                raise LingarithError(
                    f"{where}: an adapter with {key} cannot be read, since {reason}; only plain {self.name} can"
                )
        ranks, alphas = (_patterns(config, key, where) for key in PATTERNS)

        def sizes(path: str) -> tuple[int, float]:
            rank: Any = next((value for pattern, value in ranks if pattern.match(path)), config.get("r"))
            alpha: Any = next((value for pattern, value in alphas if pattern.match(path)), config.get(self.alpha))
            numbers = type(rank) is int and isinstance(alpha, int | float) and not isinstance(alpha, bool)
            if not (numbers and 1 <= rank <= LARGEST_RANK and abs(alpha) <= LARGEST_SCALE):
                raise LingarithError(
                    f"{where}: r={rank!r} and {self.alpha}={alpha!r} must be a positive integer and a number, "
                    f"of at most {LARGEST_SCALE:g}"
                )
            return rank, alpha

        sizes("")  # those of most modules
        return config, sizes


def _patterns(config: Mapping[str, Any], key: str, where: Path) -> list[tuple[re.Pattern[str], Any]]:
    """The patterns of paths with what each gives; as PEFT has it, the first one that matches counts.

    A pattern matches the end of a path after a dot, or all of it (``get_pattern_key`` in
    https://github.com/huggingface/peft/blob/main/src/peft/utils/other.py).
    """
    given = config.get(key) or {}
    try:
        return [(re.compile(rf"(.*\.)?({pattern})$"), value) for pattern, value in given.items()]
    except (re.error, AttributeError):
        raise LingarithError(
            f"{where}: {key} must map patterns of modules to numbers; save the adapter again"
        ) from None


def ours(folder: Path, *names: str) -> set[str]:
    """What is in a folder that was written here and may be replaced: these files, what is said of them, and the card,
    unless somebody changed it."""
    return {*names, ORIGIN, EVALUATED, *([CARD] if untouched(folder) else [])}


def describe(
    folder: Path,
    composition: Composition,
    origin: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    library: str = PEFT,
    **more: Any,
) -> None:
    """Write what a folder in any format says of a composition: ``lingarith.json``, and :func:`.card.card` with these.

    The former holds its origin, its space and what that cut off, what it was made from, and ``more``.
    """
    about = {
        **(origin or {}), "schema": SCHEMA, "space": str(composition.space), "error": composition.error,
        "made_from": _made_from(composition), "base_model": config["base_model_name_or_path"], **more,
    }  # fmt: skip
    write_file(folder / ORIGIN, json_bytes(about))
    write_file(folder / CARD, card(config, about, library=library))


def _made_from(composition: Composition) -> dict[str, Any]:
    """What each vector of a composition says of its data, by its name."""
    said = ("kind", "language", "data", "tuned")
    return {
        vector.name: {key: vector.origin[key] for key in said if key in vector.origin}
        for _, vector in composition.parts
    }


def by_module(file: TensorFile, pattern: re.Pattern[str], what: str) -> dict[str, dict[str, str]]:
    """The names of a file's tensors by module, and of each by factor: the two groups of the pattern.

    Raises :class:`LingarithError` for a tensor that is no such factor, or is there twice.
    """
    held: dict[str, dict[str, str]] = {}
    for key in file:
        match = pattern.fullmatch(key)
        if match is None:
            raise LingarithError(f"{file.path}: {key!r} is no {what}")
        if match[2] in held.setdefault(match[1], {}):
            raise LingarithError(f"{file.path}: {key!r} is there under two names; {file.mend}")
        held[match[1]][match[2]] = key
    return held


def in_common(scales: Mapping[str, float]) -> tuple[float, Mapping[str, float]]:
    """The scale of a vector whose projections have these, and what each term is multiplied by to have its own.

    >>> in_common({"q": 2.0, "v": 2.0}), in_common({"q": 2.0, "v": 0.5})
    ((2.0, {'q': 1.0, 'v': 1.0}), (1.0, {'q': 2.0, 'v': 0.5}))
    """
    if len(set(scales.values())) == 1:
        return next(iter(scales.values())), dict.fromkeys(scales, 1.0)
    return 1.0, scales


def origin_of(config: Mapping[str, Any], **adapter: Any) -> dict[str, Any]:
    """What an imported vector says of itself: its adapter, and the backbone that the folder names."""
    adapter |= {key: config[key] for key in PATTERNS if config.get(key)}
    backbone = {"name": config.get("base_model_name_or_path"), "revision": config.get("revision")}
    return {"kind": "imported", "adapter": adapter, "backbone": backbone}


def task_type_of(paths: Iterable[str]) -> TaskType:
    """What PEFT calls a model with such projections: only encoder-decoders have a part called encoder.

    >>> task_type_of(["encoder.block.0.layer.0.SelfAttention.q"]), task_type_of(["model.layers.0.self_attn.q_proj"])
    ('SEQ_2_SEQ_LM', 'CAUSAL_LM')
    """
    return "SEQ_2_SEQ_LM" if any("encoder" in path.split(".") for path in paths) else "CAUSAL_LM"
