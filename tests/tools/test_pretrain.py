"""The objectives by their invariants, examples as a pure function of the step, and a resumed run."""

from __future__ import annotations

import functools
import json
import multiprocessing.dummy
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools import pretrain
from tools.pretrain import (
    BATCH,
    EOS,
    MAX_LENGTH,
    PAD,
    Batches,
    learning_rate,
    list_page,
    list_share,
    padded,
    prefix_lm,
    span_corruption,
    train_tokenizer,
)

VOCABULARY = 700
FIRST = VOCABULARY - 1  # the first sentinel
BAR = 5
rows = st.lists(st.integers(10, VOCABULARY - pretrain.SENTINELS - 1), min_size=1, max_size=MAX_LENGTH)
seeds = st.integers(0, 2**32 - 1)


# ---------------------------------------------------------------- objectives


@given(rows, seeds)
def test_putting_the_spans_back_gives_the_row(row: list[int], seed: int) -> None:
    source, target = span_corruption(row, FIRST, np.random.default_rng(seed))
    assert source[-1] == target[-1] == EOS
    spans: dict[int, list[int]] = {}
    for piece in target[:-1]:
        if piece > FIRST - pretrain.SENTINELS:
            assert piece not in spans
            last = spans[piece] = []
        else:
            last.append(piece)
    marks = [piece for piece in source if piece > FIRST - pretrain.SENTINELS]
    assert marks == list(spans) == sorted(spans, reverse=True)
    assert all(1 <= len(span) <= 5 for span in spans.values())
    restored = [piece for mark in source[:-1] for piece in spans.get(mark, [mark])]
    assert restored == row


def test_about_15_percent_are_corrupted() -> None:
    rng = np.random.default_rng(0)
    row = list(range(10, 110))
    gone = [100 - sum(piece in row for piece in span_corruption(row, FIRST, rng)[0]) for _ in range(500)]
    assert 12 <= sum(gone) / 500 <= 16


@given(rows, seeds)
def test_prefix_and_rest_are_the_row(row: list[int], seed: int) -> None:
    source, target = prefix_lm(row, 0, np.random.default_rng(seed))
    assert source[-1] == target[-1] == EOS
    assert source[:-1] + target[:-1] == row
    assert len(source) > 1
    assert len(target) > 1 or len(row) == 1


def test_half_of_the_splits_are_after_a_bar() -> None:
    rng = np.random.default_rng(0)
    cuts = np.bincount([len(prefix_lm([7, 7, 9, 7, 9], 9, rng)[0]) - 1 for _ in range(4000)], minlength=5)
    # A bar at the end leaves nothing to predict: after the third piece half the time, and a quarter of the rest.
    assert abs(cuts / 4000 - np.array([0, 1 / 8, 1 / 8, 5 / 8, 1 / 8])).max() < 0.03


def test_without_bars_the_split_is_uniform() -> None:
    rng = np.random.default_rng(0)
    cuts = np.bincount([len(prefix_lm([7] * 5, 0, rng)[0]) - 1 for _ in range(4000)], minlength=5)
    assert cuts[0] == 0
    assert cuts[1:5].min() > 900


@given(seeds)
def test_a_list_is_repeated_or_looked_up(seed: int) -> None:
    source, target = list_page(np.arange(20, 600), np.arange(10, 20), BAR, np.random.default_rng(seed))
    assert source[-1] == target[-1] == EOS
    if (BAR, BAR) not in set(pairwise(source)):
        assert source == [*target[:-1], BAR, EOS]
        return
    cut = next(k for k, pair in enumerate(pairwise(source)) if pair == (BAR, BAR))
    text = source[: cut + 1]
    entries, key = [], source[cut + 2 : -1]
    while text:
        end = text.index(BAR)
        entries.append(text[:end])
        text = text[end + 1 :]
    assert 2 <= len(entries) <= 8
    assert any((entry, after) == (key, target[:-1]) for entry, after in pairwise(entries))


def test_learning_rate_by_hand() -> None:
    """300 steps up, constant, the last fifth down to 0."""
    rate = functools.partial(learning_rate, steps=10_000, peak=2.0)
    assert rate(0) == pytest.approx(2 / 300)
    assert rate(149) == pytest.approx(1.0)
    assert rate(299) == rate(5_000) == rate(7_999) == 2.0
    assert rate(9_000) == pytest.approx(1.0)
    assert rate(9_999) == pytest.approx(2 / 2_000)
    assert rate(10_000) == 0


def test_a_longer_run_has_the_same_rates_at_first() -> None:
    """So that a finished run can be made longer: only the last fifth differs."""
    assert all(learning_rate(step, 1_000, 1.0) == learning_rate(step, 5_000, 1.0) for step in range(800))


def test_lists_are_many_for_a_while() -> None:
    assert [list_share(step) for step in (0, 2_499, 2_500, 3_699, 3_700)] == [0.15, 0.15, 0.7, 0.7, 0.15]


def test_padding() -> None:
    assert padded([[1, 2], [3]], PAD).tolist() == [[1, 2, 0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]]
    assert padded([[1] * 9], -100).shape == (1, 16)


# ---------------------------------------------------------------- a tiny run


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """SentencePiece on 400 pages, threads for processes, memory handled as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "train_tokenizer", functools.partial(train_tokenizer, count=400))
        patch.setattr(pretrain.multiprocessing, "Pool", multiprocessing.dummy.Pool)
        patch.setattr(pretrain, "keep_memory", lambda: None)
        yield


def run(folder: Path, steps: int) -> dict[str, torch.Tensor]:
    words = {"out": folder, "languages": "en", "pages": 300, "vocabulary": VOCABULARY, "width": 32, "layers": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pretrain", *(f"--{k}={v}" for k, v in words.items()), f"--steps={steps}"])
        pretrain.main()
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert state["step"] == steps
    return dict(state["model"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretraining") / "run"
    run(folder, 4)
    return folder


def test_batches_are_a_function_of_the_step(finished: Path) -> None:
    def fresh(seed: int = 0) -> Batches:
        return Batches(finished, ("en",), 300, VOCABULARY, seed)

    forth, back = fresh(), fresh()
    steps = [0, 1, 31, 32, 40]
    assert [forth[step] for step in steps] == [back[step] for step in reversed(steps)][::-1]
    assert forth[0] != forth[1]
    assert forth[0] != fresh(seed=1)[0]
    assert all(len(forth[step]) == BATCH for step in steps)
    assert all(0 <= piece < VOCABULARY for source, target in forth[0] for piece in (*source, *target))
    assert max(len(source) for source, _ in forth[0]) <= MAX_LENGTH + 1


def test_neighbours_in_length_share_a_batch(finished: Path) -> None:
    batches = Batches(finished, ("en",), 300, VOCABULARY, 0)
    used = whole = 0
    for step in range(Batches.POOL):
        for side in zip(*batches[step], strict=True):
            used += sum(map(len, side))
            whole += len(side) * max(map(len, side))
    assert used / whole > 0.65


def test_a_run_in_two_parts_ends_like_one_in_one(finished: Path) -> None:
    import shutil

    folder = finished.parent / "parts"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("checkpoint.pt"))
    run(folder, 2)
    parts, whole = run(folder, 4), torch.load(finished / "checkpoint.pt", weights_only=True)["model"]
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    assert json.loads((folder / "shape.json").read_text()) == {"vocabulary": VOCABULARY, "width": 32, "layers": 1}


def test_export_is_a_backbone(finished: Path, tmp_path: Path) -> None:
    """What transformers loads has the run's weights (to half precision) and its pieces."""
    from transformers import AutoModelForSeq2SeqLM

    from lingarith.model.loading import load
    from tools.export import export

    export(finished, tmp_path)
    assert load(str(tmp_path)).encoder_decoder
    kept = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).state_dict()
    state = torch.load(finished / "checkpoint.pt", weights_only=True)["model"]
    for name, tensor in state.items():
        torch.testing.assert_close(kept[name].float(), tensor, atol=1e-3, rtol=1e-3)
