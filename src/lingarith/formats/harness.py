"""A task of ours for lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness): same data, same
prompt, same metric, so that other people's models stand beside ours.

``lm_eval --model hf --model_args pretrained=BASE,peft=FOLDER/adapter --include_path FOLDER --tasks NAME``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..disk.files import expanded, must_be_ours, replacing, write_file
from ..languages.codes import spoken
from ..newsroom import NEWSROOM
from ..scores.metrics import metric_of
from ..text import hub
from ..text.patterns import is_path
from ..text.sources import SOURCES
from ..text.tasks import Task, examples
from ..vectors.composition import Composition
from .folders import task_type_of
from .gguf import PACKAGES
from .peft import write_peft

TASK, ADAPTER = "task.py", "adapter"
CODE = '''"""Documents and scores of a task of lingarith's, for lm-evaluation-harness."""

from functools import cache
from pathlib import Path

from datasets import Dataset
from lingarith.formats.checkpoints import folder_of
from lingarith.scores.metrics import metric_of
from lingarith.scores.rouge import CallableTokenizer
from lingarith.scores.units import Units
from lingarith.text.tasks import Task, examples
from lingarith.unicode import composed
from transformers import AutoTokenizer

TASK = Task(**{task!r})
BASE = str(folder_of({base!r}) or {base!r})
PIECES = {pieces!r}  # whether the metric counts the tokenizer's pieces


def documents(**_):
    """The examples that are tested."""
    data = examples(TASK, {source!r}, {language!r}, "test", columns={columns!r}, limit={limit!r}, seed={seed!r},
                    folder=Path({folder!r}))
    rows = [{{"id": e.id, "input": e.input, "references": list(e.references)}} for e in data.examples]
    return {{"test": Dataset.from_list(rows)}}


@cache
def tokenizer():
    return Units(CallableTokenizer(AutoTokenizer.from_pretrained(BASE).tokenize)) if PIECES else None


def scored(doc, results):
    """The score of one output, 0 to 100."""
    [score] = metric_of(TASK.metric).score([composed(results[0])], [doc["references"]], tokenizer())
    return {{TASK.metric: float(score)}}
'''


@dataclass(frozen=True)
class Asked:
    """What is scored: a task, its data and language, and how many tokens are written at most (``most``)."""

    task: Task
    source: str
    language: str
    columns: Mapping[str, str]
    limit: int | None
    seed: int
    most: int

    @property
    def name(self) -> str:
        """What the harness calls it."""
        return f"lingarith_{self.task.name}_{self.language.replace('-', '_')}"


def write_lm_eval(
    composition: Composition,
    folder: Path,
    asked: Asked,
    *,
    base: str,
    base_model: str,
    store: Path,
    origin: Mapping[str, Any],
) -> str:
    """Write ``<name>.yaml``, ``task.py`` and the folder ``adapter`` for PEFT into a new folder; the task's name.

    ``base`` is the backbone whose tokenizer scores count with, as :func:`placed` names it, and ``base_model`` the one
    that the adapter names. What the data's source is read into lies in the folder ``store``. Raises
    :class:`LingarithError` as :func:`.peft.write_peft` does, for an unknown metric, and where the data are not there.
    """
    import yaml

    metric, name, task = metric_of(asked.task.metric), asked.name, asked.task
    folder = folder.resolve()
    must_be_ours(folder, {f"{name}.yaml", TASK, ADAPTER}, ADAPTER)
    output = asked.language if task.writes == "target" else task.writes or ""
    _must_be_there(asked, store / "text")
    code = CODE.format(
        task={key: tuple(value) if isinstance(value, list) else value for key, value in asdict(task).items()},
        base=base, pieces=metric.tokenizer and spoken(output) != "en",
        source=str(Path(asked.source).absolute()) if is_path(asked.source) else asked.source,
        language=asked.language, columns=dict(asked.columns), limit=asked.limit, seed=asked.seed,
        folder=str((store / "text").absolute()),
    )  # fmt: skip
    settings = {
        "task": name,
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{input}}",
        "doc_to_target": "{{references[0]}}",
        "generation_kwargs": {"until": [], "max_gen_toks": asked.most, "do_sample": False},
        "metric_list": [{"metric": task.metric, "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1},
    }
    functions = "custom_dataset: !function task.documents\nprocess_results: !function task.scored\n"
    with replacing(folder) as temporary:
        kind = task_type_of(composition.paths)
        write_peft(composition, temporary / ADAPTER, base_model=base_model, task_type=kind, origin=origin)
        write_file(temporary / f"{name}.yaml", yaml.safe_dump(settings, sort_keys=False) + functions)
        write_file(temporary / TASK, code)
    return name


def placed(base: str) -> str:
    """A backbone's name as it can be used in any working directory: the place of a folder or file, else the name.

    >>> placed("google/mt5-base"), placed("newsroom")
    ('google/mt5-base', 'newsroom')
    """
    known = base == NEWSROOM or base in PACKAGES
    return base if known or not expanded(base).exists() else str(expanded(base).absolute())


def _must_be_there(asked: Asked, folder: Path) -> None:
    """Raise :class:`LingarithError` unless there are examples; of the hub's, which come later, unless it has some."""
    known, _, revision = asked.source.partition("@")
    if known in SOURCES and known != NEWSROOM:
        hub.files(known, asked.language, "test", revision)
    else:
        examples(
            asked.task, asked.source, asked.language, "test", columns=asked.columns, limit=asked.limit,
            seed=asked.seed, folder=folder,
        )  # fmt: skip
