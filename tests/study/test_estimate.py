"""What a dry run says: the stages in their order, what exists, and times that are no nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lingarith.model.backbone import Backbone
from lingarith.store.store import Store
from lingarith.study.estimate import estimate
from lingarith.study.ingredients import obtain
from lingarith.study.plan import AdaptOptions, plan


def test_stages_in_their_order(backbone: Backbone, options: Callable[..., AdaptOptions], tmp_path: Path) -> None:
    store = Store(tmp_path)
    what = plan(["pt"], options(), store)
    obtain(what.tasks["en"], backbone, store)
    stages = estimate(what, backbone, store)
    assert [(stage.what, stage.done) for stage in stages] == [
        ("train headlines[en]", True),
        ("train news[en]", False),
        ("train news[pt]", False),
        ("choose λ and β for pt", False),
        ("test pt", False),
    ]
    assert stages[0].seconds == 0
    assert all(0 < stage.seconds < 60 for stage in stages[1:])
    assert [stage.amount for stage in stages[2:]] == ["3 steps", f"{41 * 4} outputs, 41 compositions", "16 outputs"]
    assert stages[3].seconds == pytest.approx(stages[4].seconds * 164 / 16)
    assert not have_trained(store)


def have_trained(store: Store) -> list[str]:
    """The language vectors in the store: an estimate must not put any there."""
    return [entry.name for entry in store.entries() if entry.kind == "language"]


@pytest.mark.parametrize("protocol", ["unlabelled", "sources"])
def test_other_protocols_cost_more(
    protocol: str, backbone: Backbone, options: Callable[..., AdaptOptions], store: Store
) -> None:
    sources = ("en", "ru")
    seconds = {}
    for name in ("oracle", protocol):
        what = plan(["pt"], options(protocol=name, sources=sources), store)
        [choosing] = [stage for stage in estimate(what, backbone, store) if stage.what.startswith("choose")]
        seconds[name] = int(choosing.amount.split()[0])
        assert choosing.seconds > 0
    assert seconds[protocol] > seconds["oracle"]


def test_without_labels_of_the_target_choosing_still_takes_time(
    backbone: Backbone, options: Callable[..., AdaptOptions], tmp_path: Path
) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en/train.jsonl").write_text('{"text": "The bridge was opened in May.", "summary": "Bridge"}\n')
    task = str(tmp_path / "{language}/{split}.jsonl")
    what = plan(["pt"], options(task=task), Store(tmp_path / "store"))
    *_, choosing = estimate(what, backbone, Store(tmp_path / "store"))
    assert choosing.what == "choose λ and β for pt"
    assert choosing.seconds > 0


def test_a_source_that_is_not_related_has_no_part_in_it(
    backbone: Backbone, options: Callable[..., AdaptOptions], store: Store
) -> None:
    chosen = options(protocol="sources", sources=("en", "ru", "ja"), related=True, validation_limit=2)
    what = plan(["pt"], chosen, store)
    assert what.sources == {"pt": ("en", "ru")}
    stages = estimate(what, backbone, store)
    assert not any("[ja]" in stage.what for stage in stages)
    assert [stage.amount for stage in stages if stage.what.startswith("choose")] == [
        f"{41 * 3 * 2} outputs, 41 compositions"  # pt has labels, and each source plays the target
    ]
