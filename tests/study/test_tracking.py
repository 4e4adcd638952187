"""Trackers: what the log of a training says is there, and what fails in one ends no training."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.store.store import Store
from lingarith.study import tracking
from lingarith.study.jobs import Job, obtain_all
from lingarith.study.study import Study
from lingarith.study.tracking import TRACKERS, Tracker
from lingarith.text.corpora import PlainText

TEXT = PlainText("pt", "plain/{language}.txt", "text", ("Choveu toda a semana.", "A ponte abriu."), "f" * 64)
Lines = list[dict[str, float]]


@pytest.fixture
def job(study: Callable[..., Study]) -> Job:
    """Three steps, the second and the third validated."""
    options = replace(study().training(0, labels=False), validate_every=2)
    return Job(TEXT, options, replace(TEXT, fingerprint="e" * 64))


@pytest.fixture
def trained(job: Job, backbone: Backbone, tmp_path: Path) -> Callable[[str], tuple[str, Lines]]:
    """The name of the run of a training that a tracker of that name hears of, and the lines of its log."""

    def train(name: str) -> tuple[str, Lines]:
        store = Store(tmp_path / "store")
        [(_, content, now)] = obtain_all([job], backbone, store, track=Tracker(name))
        assert now
        lines = (store.folder / "objects" / content / "log.jsonl").read_text().splitlines()
        return f"text[pt]-{job.recipe(backbone)[:8]}", [json.loads(line) for line in lines]

    return train


def said(lines: Lines) -> dict[str, list[tuple[int, float]]]:
    """(step, number) of each kind of number in a log."""
    kinds = {key: None for line in lines for key in line if key != "step"}
    return {key: [(int(line["step"]), line[key]) for line in lines if key in line] for key in kinds}


def test_a_tracker_hears_what_the_log_says(
    trained: Callable[[str], tuple[str, Lines]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: Lines = []
    ended: list[str] = []

    def opened(library: Any, name: str, facts: dict[str, Any]) -> tracking.Opened:
        assert (facts["language"], facts["source"], facts["steps"]) == ("pt", "plain/{language}.txt", 3)
        print("welcome to the tracker")
        return lambda numbers, step: heard.append({"step": step, **numbers}), lambda: ended.append(name)

    monkeypatch.setitem(TRACKERS, "json", opened)
    name, lines = trained("json")
    assert said(heard) == said(lines)
    assert [step for step, _ in said(lines)["validation_loss"]] == [2, 3]
    assert ended == [name]
    assert capsys.readouterr().out == ""  # where results are


@pytest.mark.parametrize("fails_at", ["open", "log", "end"])
def test_what_fails_in_a_tracker_is_said_once_and_ends_no_training(
    trained: Callable[[str], tuple[str, Lines]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails_at: str,
) -> None:
    def fail(what: str) -> None:
        if what == fails_at:
            raise ConnectionError("nobody answers. Try again")

    def opened(*_: object) -> tracking.Opened:
        fail("open")
        return lambda *_: fail("log"), lambda: fail("end")

    monkeypatch.setitem(TRACKERS, "json", opened)
    with caplog.at_level(logging.WARNING):
        _, lines = trained("json")
    assert len(said(lines)["loss"]) == 3
    [record] = caplog.records
    assert record.getMessage() == "warning: json fails (nobody answers); training goes on without it"


def test_a_tracker_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match="no tracker is named 'wandbb'; did you mean wandb\\?"):
        Tracker("wandbb")
    (tmp_path / "nowhere").mkdir()  # a folder of that name, as trackers leave them, is no library
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TRACKERS, "nowhere", TRACKERS["wandb"])
    with pytest.raises(LingarithError, match="nowhere is not installed; get it by `pip install nowhere`"):
        Tracker("nowhere")


def test_wandb_without_a_key_does_not_ask() -> None:
    online = SimpleNamespace(settings=SimpleNamespace(mode="online"))
    library = SimpleNamespace(setup=lambda: online, login=lambda *, prompt: prompt)
    with pytest.raises(LingarithError, match="it has no key; `wandb login`"):
        TRACKERS["wandb"](library, "text[pt]-1", {})


# ---------------------------------------------------------------- the real ones, where they are installed


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tensorboard(
    trained: Callable[[str], tuple[str, Lines]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv(tracking.TENSORBOARD, str(tmp_path / "board"))
    name, lines = trained("tensorboard")
    there = EventAccumulator(str(tmp_path / "board" / name)).Reload()
    for key, numbers in said(lines).items():
        found = [(event.step, event.value) for event in there.Scalars(key)]
        assert found == [(step, pytest.approx(number)) for step, number in numbers]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_trackio(trained: Callable[[str], tuple[str, Lines]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported
    trackio = pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_PROJECT", tmp_path.name)
    name, lines = trained("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    assert [run.name for run in trackio.Api().runs(tmp_path.name)] == [name]
    there = SQLiteStorage.get_logs(tmp_path.name, name)
    assert {key: said(there)[key] for key in said(lines)} == said(lines)


@pytest.mark.filterwarnings("ignore")
def test_mlflow(trained: Callable[[str], tuple[str, Lines]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    name, lines = trained("mlflow")
    client = mlflow.MlflowClient()
    [run] = client.search_runs([client.get_experiment_by_name("lingarith").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["language"]) == (name, "FINISHED", "pt")
    for key, numbers in said(lines).items():
        found = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)]
        assert found == numbers


@pytest.mark.filterwarnings("ignore")
def test_wandb_offline(
    trained: Callable[[str], tuple[str, Lines]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    trained("wandb")
    [left] = (tmp_path / "wandb").glob("offline-run-*/run-text-pt--*.wandb")
    assert b"validation_loss" in left.read_bytes()
