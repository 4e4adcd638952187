"""URIEL's distances (Littell et al., 2017), computed from its feature arrays.

The arrays are those of the package ``lang2vec``, which holds features and no distances. Its files
are read where they lie: importing it needs a module that setuptools no longer has.

The formulas were found by comparison with distances that URIEL's authors computed: syntactic ones
agree within 0.02 on all of 3,100 pairs that involve no macro-language, and within 0.0101 (theirs
have two decimals) on more than 94 % of them. For genetic, phonological, inventory and featural
distances there was nothing to compare with, and the formula is the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LingarithError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Features = NDArray[np.float64 | np.bool_]

TYPOLOGY = {"syntactic": "S_", "phonological": "P_", "inventory": "INV_", "featural": ""}
"""How the features that a measure takes into account begin."""
MEASURES = ("syntactic", "geographic", "genetic", *(name for name in TYPOLOGY if name != "syntactic"))


def distance(measure: str, one: str, other: str) -> float | None:
    """The distance of two languages by a measure, in [0, 1]; None where the features of either are not known.

    Languages are ISO 639-3 codes. ``geographic`` is the great circle between the points that stand
    for the languages, over half the earth's circumference. All others are the angle between feature
    vectors over 90°, (2/π)·arccos(cosine): ``genetic`` over the families that a language belongs
    to, the rest over typological features (:data:`TYPOLOGY`), where a feature is 1 if any of
    URIEL's sources says so and 0 where none says anything. Raises :class:`LingarithError` where the
    arrays are not installed.
    """
    if measure == "geographic":
        known, whole = _places(), 180
    else:
        known, whole = _families() if measure == "genetic" else _typology(TYPOLOGY[measure]), 90
    return _angle(known[one], known[other]) / whole if one in known and other in known else None


def installed() -> bool:
    """Whether the feature arrays are here."""
    return importlib.util.find_spec("lang2vec") is not None


def _file(name: str) -> Path:
    package = importlib.util.find_spec("lang2vec")
    if package is None or not package.submodule_search_locations:
        raise LingarithError("URIEL's feature arrays are not installed; run pip install 'lingarith[uriel]'")
    return Path(package.submodule_search_locations[0]) / "data" / name


def _angle(one: Features, other: Features) -> float:
    """The angle between two vectors in degrees."""
    import numpy as np

    a, b = one.astype(float), other.astype(float)
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))))


@cache
def _typology(prefix: str) -> Mapping[str, Features]:
    """The features of each language, those whose name begins so; languages that have any."""
    import numpy as np

    languages, names, values = _sources_united()
    taken = values[:, np.char.startswith(names, prefix)]
    return {str(language): row for language, row in zip(languages, taken, strict=True) if row.any()}


@cache
def _sources_united() -> tuple[NDArray[np.str_], NDArray[np.str_], Features]:
    """Languages, names of features, and languages × features: whether any source has the feature."""
    import numpy as np

    with np.load(_file("features.npz")) as arrays:
        by_source = arrays["data"]  # languages × features × sources, and -1 where a source says nothing
        return arrays["langs"], arrays["feats"], by_source.max(axis=2) > 0


@cache
def _families() -> Mapping[str, Features]:
    """The families of each language, from the largest down to the smallest."""
    import numpy as np

    with np.load(_file("family_features.npz")) as arrays:
        languages, values = arrays["langs"], arrays["data"][:, :, 0] > 0
    return {str(language): row for language, row in zip(languages, values, strict=True) if row.any()}


@cache
def _places() -> Mapping[str, Features]:
    """The point of each language on the unit sphere.

    URIEL gives distances to 299 fixed points, as shares of half the circumference. The cosine of
    such an angle is the product of two unit vectors, so the place solves a linear system.
    """
    import numpy as np

    with np.load(_file("geocoord_features.npz")) as arrays:
        languages, names, shares = arrays["langs"], arrays["feats"], arrays["data"][:, :, 0]
    degrees = [[float(part) for part in name.split("_")[1:]] for name in names.tolist()]  # GC_-83_42
    latitude, longitude = np.radians(degrees).T
    across, up = np.cos(latitude), np.sin(latitude)
    fixed = np.stack([across * np.cos(longitude), across * np.sin(longitude), up], axis=1)
    places = np.linalg.lstsq(fixed, np.cos(np.pi * shares.astype(float)).T)[0].T
    # what is not spoken anywhere ("und", "mul") has no distances that would place it on the sphere
    found = np.abs(np.linalg.norm(places, axis=1) - 1) < 0.01
    return {str(language): place for language, place, is_one in zip(languages, places, found, strict=True) if is_one}
