"""URIEL's distances from feature arrays: known angles, made-up languages, and the real arrays where they are."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lingarith.errors import LingarithError
from lingarith.languages import uriel
from lingarith.languages.codes import language
from tools import tabulate

CITIES = {"lis": (38.7, -9.1), "kyi": (50.5, 30.5), "tok": (35.7, 139.7), "ant": (-38.7, 170.9)}
needs_arrays = pytest.mark.skipif(not uriel.installed(), reason="lang2vec is not installed")


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Arrays of the form that lang2vec has, with three features of each kind and four languages."""
    cached = (uriel._typology, uriel._sources_united, uriel._families, uriel._places)
    monkeypatch.setattr(uriel, "_file", lambda name: tmp_path / name)
    values = np.full((4, 6, 2), -1, dtype="float32")
    values[0, :3, 0] = [1, 1, 0]
    values[1, :3, 0], values[1, :3, 1] = [1, 0, -1], [0, -1, -1]  # a 0 beside a 1 is a 1
    values[2, :3, 1] = [0, 0, 1]
    values[:3, 3:, 0] = [[0, 0, -1], [1, 0, 0], [1, 1, 0]]
    names = ["S_SVO", "S_SOV", "S_CASE", "P_TONE", "P_STRESS", "INV_P"]
    np.savez(
        tmp_path / "features.npz", langs=["aaa", "bbb", "ccc", "ddd"], feats=names, data=values, sources=["A", "B"]
    )
    families = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype="float32")[:, :, None]
    np.savez(
        tmp_path / "family_features.npz", langs=["aaa", "bbb", "ccc", "ddd"], feats=["F_X", "F_Y", "F_Z"], data=families
    )
    fixed = [(lat, lon) for lat in (-80, -10, 60) for lon in (-170, 12, 99)]
    shares = [[round(great_circle(place, point), 4) for point in fixed] for place in CITIES.values()]
    nowhere = [0.5] * len(fixed)
    np.savez(
        tmp_path / "geocoord_features.npz",
        langs=[*CITIES, "und"],
        feats=[f"GC_{lat}_{lon}" for lat, lon in fixed],
        data=np.array([*shares, nowhere], dtype="float32")[:, :, None],
    )
    for each in cached:
        each.cache_clear()
    yield
    for each in cached:
        each.cache_clear()


def great_circle(one: tuple[float, float], other: tuple[float, float]) -> float:
    """By the haversine formula, over half the circumference."""
    (a, x), (b, y) = (map(math.radians, place) for place in (one, other))
    root = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin((y - x) / 2) ** 2
    return 2 * math.asin(min(1.0, math.sqrt(root))) / math.pi


@pytest.mark.parametrize(
    ("measure", "pair", "expected"),
    [
        ("syntactic", "aaa bbb", 0.5),  # (1,1,0) and (1,0,0): 45°
        ("syntactic", "aaa ccc", 1.0),
        ("phonological", "bbb ccc", 0.5),
        ("phonological", "aaa bbb", None),  # nothing but zeros
        ("inventory", "bbb ccc", None),
        ("featural", "aaa bbb", 2 / 3),  # (1,1,0,0,0) and (1,0,0,1,0): 60°
        ("syntactic", "aaa ddd", None),  # nothing is known
        ("syntactic", "aaa zzz", None),  # no such language
        ("genetic", "aaa bbb", 0.5),
        ("genetic", "bbb ccc", 1.0),
        ("genetic", "aaa ddd", None),
        ("geographic", "lis und", None),  # spoken nowhere
    ],
)
def test_known_angles(arrays: None, measure: str, pair: str, expected: float | None) -> None:
    one, other = pair.split()
    for found in (uriel.distance(measure, one, other), uriel.distance(measure, other, one)):
        assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("one", "other"), [("lis", "kyi"), ("lis", "tok"), ("tok", "kyi"), ("lis", "ant")])
def test_places_are_found_from_their_distances(arrays: None, one: str, other: str) -> None:
    expected = great_circle(CITIES[one], CITIES[other])
    assert uriel.distance("geographic", one, other) == pytest.approx(expected, abs=2e-3 if other == "ant" else 1e-4)


def test_without_the_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not uriel.installed()
    with pytest.raises(LingarithError, match=r"pip install 'lingarith\[uriel\]'"):
        uriel._file("features.npz")


@needs_arrays
def test_syntactic_distances_are_those_of_uriel_s_authors(real_data: Callable[[str], Path]) -> None:
    with real_data("uriel/lang2vec_syntactic_precomputed.csv").open() as file:
        pairs = [
            (float(row["syntactic"]), uriel.distance("syntactic", row["iso1"], row["iso2"]))
            for row in csv.DictReader(file)
            if not macro(row["lang1"]) and not macro(row["lang2"])
        ]
    apart = np.array([abs(theirs - ours) for theirs, ours in pairs if theirs and ours is not None])
    assert len(apart) == 3100
    assert apart.max() < 0.02
    assert (apart < 0.0101).mean() > 0.94


def macro(code: str) -> bool:
    """Whether a code stands for a macro-language."""
    try:
        return language(code, individual=True).iso639_3 != language(code).iso639_3
    except LingarithError:
        return True


@needs_arrays
def test_the_table_in_the_package_is_what_the_program_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tabulate.TABLE.read_text()
    monkeypatch.setattr(tabulate, "TABLE", tmp_path / "uriel.csv")
    tabulate.main()
    assert (tmp_path / "uriel.csv").read_text() == shipped
