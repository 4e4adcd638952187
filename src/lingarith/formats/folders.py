"""What PEFT's folders have in common, whichever adapter is in them: three files, and a header.

``adapter_config.json`` says how ``adapter_model.safetensors`` is read, and ``lingarith.json`` where it
comes from. Keys are those of PEFT 0.21.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..disk.files import inside, json_bytes, must_be_ours, read_json, replacing, write_file
from ..disk.tensors import pieces
from ..errors import LingarithError
from ..vectors.composition import Composition
from ..vectors.outline import Terms

TaskType = Literal["SEQ_2_SEQ_LM", "CAUSAL_LM"]

SCHEMA = 1
CONFIG, WEIGHTS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "lingarith.json"
PEFT_VERSION = "0.21.0"

UNSUPPORTED = {
    "modules_to_save": "it replaces whole modules",
    "rank_pattern": "its modules have different ranks",
    "alpha_pattern": "its modules have different scales",
}
"""Keys that, when set, make an adapter of any kind more than one scale and its factors."""


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
        must_be_ours(folder, {CONFIG, WEIGHTS, ORIGIN}, ORIGIN)
        origin = dict(origin or {})
        config = {
            "peft_type": self.peft_type,
            "peft_version": PEFT_VERSION,
            "task_type": task_type,
            "base_model_name_or_path": base_model,
            "revision": (origin.get("backbone") or {}).get("revision"),
            "inference_mode": True,
            **settings,
            "modules_to_save": None,
            "rank_pattern": {},
            "alpha_pattern": {},
            # A list would also match every module whose path *ends* in one of these; a pattern is matched whole.
            "target_modules": "|".join(re.escape(path) for path in composition.paths),
        }
        shapes = dict(factors(composition.outline))
        with replacing(folder) as temporary:
            content = pieces(shapes, factors(composition.terms), f"update for {folder}", {"format": "pt"})
            write_file(temporary / WEIGHTS, content)
            write_file(temporary / CONFIG, json_bytes(config))
            about = {**origin, "schema": SCHEMA, "space": str(composition.space), "error": composition.error}
            write_file(temporary / ORIGIN, json_bytes(about))

    def read(self, folder: Path) -> tuple[dict[str, Any], int, float]:
        """The configuration in a folder, with r and α.

        Raises :class:`LingarithError` saying why when the adapter is another, or more than plain.
        """
        config = read_json(inside(folder, CONFIG), mend="name a folder that PEFT's save_pretrained wrote")
        where, kind = folder / CONFIG, config.get("peft_type")
        if kind != self.peft_type:
            raise LingarithError(f"{where}: an adapter of type {kind!r} cannot be read; only {self.name} can")
        for key, reason in {**self.unsupported, **UNSUPPORTED}.items():
            if config.get(key):
                raise LingarithError(
                    f"{where}: an adapter with {key} cannot be read, since {reason}; only plain {self.name} can"
                )
        rank, alpha = config.get("r"), config.get(self.alpha)
        if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or not math.isfinite(alpha):
            raise LingarithError(
                f"{where}: r={rank!r} and {self.alpha}={alpha!r} must be a positive integer and a number"
            )
        return config, rank, alpha


def origin_of(config: Mapping[str, Any], **adapter: Any) -> dict[str, Any]:
    """What an imported vector says of itself: its adapter, and the backbone that the folder names."""
    backbone = {"name": config.get("base_model_name_or_path"), "revision": config.get("revision")}
    return {"kind": "imported", "adapter": adapter, "backbone": backbone}


def task_type_of(paths: Iterable[str]) -> TaskType:
    """What PEFT calls a model with such projections: only encoder-decoders have a part called encoder.

    >>> task_type_of(["encoder.block.0.layer.0.SelfAttention.q"]), task_type_of(["model.layers.0.self_attn.q_proj"])
    ('SEQ_2_SEQ_LM', 'CAUSAL_LM')
    """
    return "SEQ_2_SEQ_LM" if any("encoder" in path.split(".") for path in paths) else "CAUSAL_LM"
