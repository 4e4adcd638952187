"""What most commands begin with: a backbone and a store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model.backbone import Backbone
    from ..store.store import Store


def open_backbone(name: str, dtype: str = "auto", bits: int | None = None, device_map: str | None = None) -> Backbone:
    """The backbone, without the noise that libraries make while loading."""
    from ..model.backbone import load

    prepare()
    return load(name, dtype=dtype, bits=bits, device_map=device_map)


def prepare() -> None:
    """Set up the libraries before a backbone is loaded."""
    from transformers.utils import logging

    from ..model.memory import keep_memory

    keep_memory()
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def open_store(place: str) -> Store:
    """The store in a folder or under a URL, which need not exist yet."""
    from ..store.store import Store

    return Store.at(place)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=1, default=str))
