"""Libraries that come with an extra of this package."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import LingarithError

EXTRAS = {"ray": "ray", "submitit": "slurm"}
"""Which extra a library comes with."""


def imported(library: str) -> Any:
    """The library. Raises :class:`LingarithError` where it is not installed."""
    try:
        return importlib.import_module(library)
    except ImportError:
        extra = EXTRAS[library]
        raise LingarithError(f"{library} is not installed; get it by `pip install 'lingarith[{extra}]'`") from None
