"""The README.md of a folder that is handed over, as the Hugging Face hub and those who come upon it read it.

Its front matter (https://huggingface.co/docs/hub/model-cards) is written by ``huggingface_hub``; results stand in
``model-index`` and in ``.eval_results/*.yaml`` (https://huggingface.co/docs/hub/eval-results).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..languages.codes import language_name, spoken
from ..newsroom import NEWSROOM
from ..text.hub import DATASETS, LICENCES
from .snippets import PEFT, TRANSFORMERS, snippet

CARD, EVALUATED = "README.md", ".eval_results"
SEAL = "\n<!-- made by lingarith, which replaces it only where nothing above was changed: sha256 {} -->\n"
UNKNOWN = "unknown"
PIPELINES = {"summaries": "summarization", "translations": "translation"}
"""What the hub calls tasks whose model writes texts; of all others the model generates text."""
HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)


@dataclass(frozen=True)
class Measured:
    """A score of the adapter: the metric's name in print, 0 to 100, on which data, and its interval in words."""

    metric: str
    value: float
    source: str
    language: str
    split: str
    notes: str


def hub_name(base: str) -> str | None:
    """The hub's name of a base model; None for a folder of this machine, and for the embedded backbone.

    >>> hub_name("google/mt5-base"), hub_name("/home/me/mt5"), hub_name("newsroom")
    ('google/mt5-base', None, None)
    """
    return base if HUB_NAME.fullmatch(base) and base != NEWSROOM and not Path(base).exists() else None


def card(
    config: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    library: str = PEFT,
    chosen: str = "",
    results: str = "",
    tested: Sequence[Measured] = (),
) -> str:
    """A card from what stands in ``lingarith.json`` (``about``) and the keys ``base_model_name_or_path``,
    ``task_type`` and ``peft_type`` (if any) of PEFT's configuration.

    ``library`` is one of :data:`.snippets.LIBRARIES`: of ``transformers`` the folder is a whole model, of the others
    an adapter. ``chosen`` says how the weights were chosen, and ``results`` is Markdown; without them the card says
    that nothing is known of either.
    """
    from huggingface_hub import ModelCard

    base, task = str(config["base_model_name_or_path"]), about.get("task", "")
    whole = library == TRANSFORMERS
    name = f"{Path(base).name}-{task or ('merged' if whole else 'adapter')}-{about.get('language') or 'sum'}"
    what = f"{_base(base)} with a sum of vectors added to its weights" if whole else f"An adapter for {_base(base)}"
    said = "The coefficients are those that were typed; on what grounds, is not recorded."
    parts = [
        f"# {name}",
        f"{what}{_for(about)}, made by [language and task arithmetic](https://arxiv.org/abs/2311.09344): a sum of "
        f"{'vectors' if whole else 'adapters'} that were trained on other data, put together without training.",
        "## Recipe",
        *_recipe(about),
        f"**Weights.** {chosen or said}",
        "## Results",
        results or "Nothing was measured when this folder was written.",
        "## Made from",
        _parents(about),
        "## Use",
        snippet(config, about, library),
        "## Licence",
        _licences(about, base),
    ]
    front = _front(config, about, library, name, tested).to_yaml(line_break="\n")
    text = str(ModelCard("\n".join(["---", front.strip(), "---", "", "\n\n".join(parts), ""])))
    return text + SEAL.format(_digest(text))


def untouched(folder: Path) -> bool:
    """Whether the card in a folder, if there is one, is as :func:`card` made it, and no work of anybody's."""
    path = folder / CARD
    if not path.is_file():
        return not path.exists()
    text = path.read_bytes().decode("utf-8", "replace")
    above, mark, _ = text.rpartition(SEAL.partition("{")[0])
    return bool(mark) and text == above + SEAL.format(_digest(above))


def evaluated(tested: Sequence[Measured], date: str) -> str:
    """``.eval_results/lingarith.yaml``: the scores on data of the hub; empty where there are none."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            DATASETS[source][0], one.language, round(one.value, 2), revision or None, date=date,
            notes=f"{one.metric}, {one.notes}",
        )
        for one in tested
        for source, _, revision in [one.source.partition("@")]
        if source in DATASETS
    ]  # fmt: skip
    return str(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)) if entries else ""


# ---------------------------------------------------------------- its parts


def _front(
    config: Mapping[str, Any], about: Mapping[str, Any], library: str, name: str, tested: Sequence[Measured]
) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    task = PIPELINES.get(about.get("task", ""), "text-generation")
    sources, base = _sources(about), str(config["base_model_name_or_path"])
    whole = library == TRANSFORMERS
    licence = strictest([*sources, base] if whole else sources)  # a whole model holds the base's weights
    models = filter(None, map(hub_name, [base, *(str(one["name"]) for one in _tuned(about).values() if whole)]))
    bases = list(dict.fromkeys(models))
    results = [
        EvalResult(
            task, DATASETS[source][0] if source in DATASETS else source, source, one.metric.lower(),
            round(one.value, 2), metric_name=one.metric, dataset_config=one.language, dataset_split=one.split,
            dataset_revision=revision or None,
        )
        for one in tested
        for source, _, revision in [one.source.partition("@")]
    ]  # fmt: skip
    # The hub knows languages by ISO 639, and neither regions nor scripts.
    named = [code for code in (about.get("language"), about.get("writes")) if code and code != "target"]
    languages = list(dict.fromkeys(map(spoken, named)))
    kinds = [
        kind for kind in (str(config.get("peft_type", "")).lower(), library) if kind not in ("", PEFT, TRANSFORMERS)
    ]
    return ModelCardData(
        base_model=(bases if len(bases) > 1 else bases[0]) if bases else None,
        base_model_relation=(("merge" if bases[1:] else "finetune") if whole else "adapter") if bases else None,
        library_name=library,
        pipeline_tag=task,
        language=languages or None,
        license=licence or "other",
        license_name=None if licence else UNKNOWN,
        datasets=[DATASETS[source][0] for source in sources if source in DATASETS] or None,
        tags=["lingarith", *kinds, "task-arithmetic", "cross-lingual-transfer"],
        model_name=name if results else None,
        eval_results=results or None,
    )


def _recipe(about: Mapping[str, Any]) -> list[str]:
    """What was added up, in which space, by which command."""
    # The space says by which way to merge, too.
    rows = {"Expression": about.get("expression"), "Space": about.get("space"), "Command": about.get("command")}
    lost = [f"The cut lost {about['error']:.2%} of the sum."] if about.get("error") else []
    lost += [f"Rounding to the base's type lost {about['rounding']:.2%} of the update."] if "rounding" in about else []
    table = [f"| {key} | `{_cell(value)}` |" for key, value in rows.items() if value]
    return ["\n".join(["| | |", "|---|---|", *table]), *lost]


def _parents(about: Mapping[str, Any]) -> str:
    rows = ["| Vector | Hash | Trained on | Examples | Data's fingerprint |", "|---|---|---|---:|---|"]
    parents = about.get("parents") or {}
    for name, facts in (about.get("made_from") or {}).items():
        data = facts.get("data") or {}
        what = ", ".join(filter(None, [facts.get("kind"), facts.get("language"), data.get("source")]))
        count = data.get("examples") or data.get("documents") or ""
        cells = (f"`{name}`", f"`{str(parents.get(name, ''))[:12]}`", what, count, f"`{data.get('fingerprint', '')}`")
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    backbone = about.get("backbone") or {}
    for name, tuned in _tuned(about).items():
        rows += ["", f"`{name}` is what {_checkpoint(tuned)} differs by from {_checkpoint(backbone)}."]
    return "\n".join([*rows, "", f"Base model's fingerprint: `{backbone.get('fingerprint', UNKNOWN)}`."])


def _tuned(about: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The fine-tuned checkpoints of vectors that are differences, by the vector's name."""
    every = {name: facts.get("tuned") for name, facts in (about.get("made_from") or {}).items()}
    # Of older vectors it is the place alone.
    said = {name: tuned if isinstance(tuned, Mapping) else {"name": tuned} for name, tuned in every.items() if tuned}
    return {name: {"name": UNKNOWN, **tuned} for name, tuned in said.items()}


def _checkpoint(facts: Mapping[str, Any]) -> str:
    """A checkpoint's name, and its revision on the hub or its fingerprint."""
    known = (f"{key} `{facts[key]}`" for key in ("revision", "fingerprint") if facts.get(key))
    return f"{_base(str(facts.get('name', UNKNOWN)))} ({next(known, 'no revision known')})"


def strictest(sources: Iterable[str]) -> str | None:
    """The strictest of the licences of data; None where one of them is not known here, and of no data."""
    licences = {LICENCES.get(source, UNKNOWN) for source in sources}
    return None if UNKNOWN in licences else next((one for one in LICENCES.values() if one in licences), None)


def _licences(about: Mapping[str, Any], base: str) -> str:
    rows = [f"- {source}: {LICENCES.get(source, 'not known here; say it before you publish')}"
            for source in _sources(about)]  # fmt: skip
    models = dict.fromkeys([base, *(str(tuned["name"]) for tuned in _tuned(about).values())])
    rest = f"The terms of {' and of '.join(map(_base, models))} hold as well."
    return "\n".join(["What the data that went into it ask for carries over to it:", "", *rows, "", rest])


def _sources(about: Mapping[str, Any]) -> list[str]:
    """The data of all parents, without their revisions; those of none are unknown."""
    return list(dict.fromkeys(map(source_of, (about.get("made_from") or {}).values())))


def source_of(origin: Mapping[str, Any]) -> str:
    """The data of a vector, without their revision; those of none are unknown."""
    return str((origin.get("data") or {}).get("source") or UNKNOWN).partition("@")[0]


def _for(about: Mapping[str, Any]) -> str:
    task, language = about.get("task"), about.get("language")
    return f": {task or 'a sum'} in {language_name(language)}" if language else ""


def _base(base: str) -> str:
    return f"[{base}](https://huggingface.co/{base})" if hub_name(base) else f"`{base}`"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
