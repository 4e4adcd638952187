"""The options of a study, in groups: a field is at once a key of TOML files, a flag, its help, and a line in docs.

Two more groups are those of :mod:`..model.options`: how vectors are trained, and how outputs are written. Nothing here
loads torch before a value needs it, so that help comes at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import LingarithError, did_you_mean
from ..languages.codes import UNSEEN
from ..languages.related import PRESETS
from ..newsroom import NEWSROOM
from ..text.patterns import is_path
from .records import BASELINES, CONTROLS, shots
from .weights import PROTOCOLS, SEARCHES

if TYPE_CHECKING:
    from ..adapters.kinds import Adapter
    from ..vectors.composition import Space

ADAPTERS = LORA, KRONECKER, FULL = ("lora", "kronecker", "full")
AUTO = "auto"
FEW_STEPS = 50
LIMITS = "uriel"
"""For ``related``: the paper's limits on URIEL's distances."""


@dataclass(frozen=True)
class BackboneOptions:
    """The frozen language model."""

    backbone: Annotated[
        str,
        "A hub name, a folder, a file of GGUF, `gemma-3-270m` (extra `gemma`), or `newsroom`, the embedded default.",
    ] = NEWSROOM
    dtype: Annotated[str, "Type of the backbone's weights: auto, float32, bfloat16, float16."] = AUTO
    bits: Annotated[int | None, "Quantise the backbone to 8 or 4 bits (bitsandbytes)."] = None
    device_map: Annotated[str | None, "Handed to transformers, such as `auto`."] = None


@dataclass(frozen=True)
class DataOptions:
    """Labelled data and plain text, and how much of them."""

    tasks: Annotated[
        tuple[Any, ...], "What is asked: summaries, questions, topics, entities, translations, or a TOML file."
    ] = ("summaries",)
    labels: Annotated[
        str, "Labelled data: newsroom, xlsum, tydiqa, sib200, masakhaner, or a pattern with {language} and {split}."
    ] = NEWSROOM
    fields: Annotated[tuple[str, ...], "Names of your files' fields, such as text=article."] = ()
    prompt: Annotated[str | None, "What the model reads, such as `summarize: {text}`; without it the task's own."] = (
        None
    )
    named_prompt: Annotated[
        str | None, "Of the control `named`: a prompt with {language_name}; else a sentence before the task's own."
    ] = None
    chat: Annotated[bool, "Prompts go into the backbone's chat template, as a user's turn."] = False
    text: Annotated[str, "Plain text: `newsroom`, `fineweb2`, `mc4`, or a pattern with {language}."] = NEWSROOM
    plain_field: Annotated[str, "The field of plain text; .txt has `text`."] = "text"
    characters: Annotated[int, "Train on so much plain text of a language at most."] = 2_000_000
    train_limit: Annotated[int | None, "Training examples of a language, at most."] = None
    validation_limit: Annotated[int | None, "Validation examples of a language, at most."] = 128
    test_limit: Annotated[int | None, "Test examples of a language, at most."] = None
    sample_seed: Annotated[int, "Draws the examples that a limit leaves."] = 0

    def __post_init__(self) -> None:
        for field in self.fields:
            if not all(field.partition("=")):
                raise LingarithError(f"'fields' holds '{field}'; say which field is called how, such as text=article")
        if self.named_prompt and not {"{language}", "{language_name}"} & set(re.findall(r"{\w+}", self.named_prompt)):
            raise LingarithError(
                f"'named_prompt' is {self.named_prompt!r} and names no language; write {{language_name}}"
            )
        for key in ("train_limit", "validation_limit", "test_limit"):
            limit = getattr(self, key)
            if limit is not None and limit < 1:
                raise LingarithError(f"{key} is {limit}; it must be at least 1")

    @property
    def columns(self) -> dict[str, str]:
        """What the files call the fields of tasks."""
        return dict(field.split("=", 1) for field in self.fields)


@dataclass(frozen=True)
class LanguageOptions:
    """Where labels are, and where they are not."""

    sources: Annotated[tuple[str, ...], "Languages with labels: codes, or `seen`, the paper's."] = ("en",)
    targets: Annotated[tuple[str, ...], "Languages without labels: codes, or `unseen`, the paper's."] = UNSEEN
    related: Annotated[
        str, "Which sources are related to a target: `uriel` (its distances, the paper's limits) or `paper-table5`."
    ] = ""

    def __post_init__(self) -> None:
        if self.related not in ("", LIMITS, *PRESETS):
            known = (LIMITS, *PRESETS)
            raise LingarithError(f"no rule for 'related' is named '{self.related}'{did_you_mean(self.related, known)}")
        for key in ("sources", "targets"):
            must_name(key, getattr(self, key))


@dataclass(frozen=True)
class VectorOptions:
    """What is trained: an adapter of some kind and size, or all of the backbone."""

    adapter: Annotated[str, "lora, kronecker, or full (no adapter, in `delta` alone)."] = ""
    rank: Annotated[int | None, "Rank of LoRA; 4 without it."] = None
    alpha: Annotated[float | None, "LoRA's α; without it α = rank, a scale of 1."] = None
    kronecker: Annotated[tuple[int, ...], "Not LoRA but Kronecker of this m and n, such as 32x16 (the paper's)."] = ()
    full_learning_rate: Annotated[float | None, "Of full fine-tuning; 0 leaves its row out of Table 6."] = None
    language_steps: Annotated[int | None, "Steps of a language vector, if others."] = None
    language_learning_rate: Annotated[float | None, "Learning rate of a language vector, if another."] = None
    few_steps: Annotated[int, "Steps of the control few:k, which goes on from the task vector."] = FEW_STEPS
    seeds: Annotated[
        tuple[int, ...], "Order of examples and start of the factors; with several all is done for each."
    ] = (0,)
    init_seed: Annotated[int | None, "Where factors start, if not by the seed; one for all vectors that are added."] = (
        None
    )

    variants: Annotated[
        tuple[str, ...],
        "Of the studies mixed, cost and addition: vectors by other keys, such as rank=1 or kronecker=6x4.",
    ] = ()

    def __post_init__(self) -> None:
        if self.adapter not in ("", *ADAPTERS):
            raise LingarithError(f"no adapter is named '{self.adapter}'{did_you_mean(self.adapter, ADAPTERS)}")
        if self.kronecker and len(self.kronecker) != 2:
            raise LingarithError(f"'kronecker' is {list(self.kronecker)}; give m and n, such as 32x16")
        lora = self.rank is not None or self.alpha is not None
        if lora and (self.adapter == FULL or (self.kronecker and not self.adapter)):
            raise LingarithError(
                "rank and alpha are LoRA's, and another adapter is asked for; leave out one of them, or say which by "
                "adapter=lora"
            )
        if self.few_steps < 1:
            raise LingarithError(f"few_steps is {self.few_steps}; it must be at least 1")
        if not self.seeds:
            raise LingarithError("'seeds' is empty; give at least one")
        must_differ("seeds", self.seeds)
        for kind in ADAPTERS:
            self.of(kind)

    @property
    def kind(self) -> str:
        """The adapter that is trained where a recipe does not say another: lora, kronecker or full."""
        return self.adapter or (KRONECKER if self.kronecker else LORA)

    def of(self, kind: str) -> Adapter:
        from ..adapters.dense import Full
        from ..adapters.kronecker import Kronecker
        from ..adapters.lora import Lora

        if kind == FULL:
            return Full()
        if kind == KRONECKER:
            return Kronecker(*(self.kronecker or (32, 16)))
        return Lora(4 if self.rank is None else self.rank, self.alpha)


@dataclass(frozen=True)
class SumOptions:
    """The space of the arithmetic (METHOD, section 3), and what takes the place of the sum."""

    space: Annotated[str, "Where sums are taken: factors, anchored, delta or peft-linear."] = "factors"
    rank_out: Annotated[int | None, "In delta: cut the sum to its best rank k."] = None
    kronecker_out: Annotated[tuple[int, ...], "With rank_out k: to the best k Kronecker products of this m and n."] = ()
    merging: Annotated[
        str | None, "In delta, not the sum but keepnorm, tsv, ties:density=0.1 … (docs/methods.md lists them)."
    ] = None

    def __post_init__(self) -> None:
        if self.kronecker_out and len(self.kronecker_out) != 2:
            raise LingarithError(f"'kronecker_out' is {list(self.kronecker_out)}; give m and n, such as 32x16")
        _ = self.value

    @property
    def value(self) -> Space:
        """The space with its cut and merging."""
        from ..adapters.merging import Merging
        from ..vectors.composition import Space

        size = (self.kronecker_out[0], self.kronecker_out[1]) if self.kronecker_out else None
        return Space(self.space, self.rank_out, size, None if self.merging is None else Merging.of(self.merging))


@dataclass(frozen=True)
class ChoiceOptions:
    """How weights are chosen, on whose data, and what gains are held against."""

    choose_by: Annotated[
        str,
        "Whose data choose λ: oracle, sources, unlabelled; auto takes the first of the two that there is, else none.",
    ] = AUTO
    search: Annotated[
        str, "How its values are searched with labels: grid, halving (fewer outputs), or loss (none)."
    ] = "grid"
    weights: Annotated[tuple[float, ...], "The λ that are tried; without any a fine grid in 0..1."] = ()
    betas: Annotated[tuple[float, ...], "The β that are tried, likewise."] = ()
    learning_rates: Annotated[tuple[float, ...], "Tried beside learning_rate by the control without arithmetic."] = ()
    controls: Annotated[
        tuple[str, ...] | None,
        "Held against gains: rates, scaled, wrong, random, joint, named, averaged, linear, few:16; else the table's.",
    ] = None
    retention: Annotated[bool, "Test on the sources' own test data too: what is lost there."] = False
    score_model: Annotated[
        str | None, "SentencePiece .model for ROUGE-2 of languages other than English; else the backbone's tokenizer."
    ] = None

    def __post_init__(self) -> None:
        for key, value, known in (
            ("choose_by", self.choose_by, (AUTO, *PROTOCOLS)),
            ("search", self.search, SEARCHES),
            *(("controls", one, (*CONTROLS, *BASELINES, "few:16")) for one in self.controls or () if not shots(one)),
        ):
            if value not in known:
                raise LingarithError(f"'{key}' knows no '{value}'{did_you_mean(value, known)}")
        for weight in self.weights:
            if not 0 <= weight <= 1:
                raise LingarithError(f"λ = {weight:g} stands in 'weights'; it must lie in 0..1")
        for beta in self.betas:
            if not 0 <= beta < float("inf"):
                raise LingarithError(f"β = {beta:g} stands in 'betas'; it must be a finite number of at least 0")


TRACK = "Losses go to a tracker too: trackio, wandb, mlflow or tensorboard."


@dataclass(frozen=True)
class WorkOptions:
    """Who does the work of a study. No result depends on it, so it is no key of one."""

    runner: Annotated[str, "Who does the work: here, processes, ray, slurm."] = "here"
    workers: Annotated[int | None, "How many at a time (slurm: 8; else one for each GPU, or 2)."] = None
    address: Annotated[str | None, "Of a cluster of Ray that is there."] = None
    slurm: Annotated[tuple[str, ...], "A setting of submitit, such as partition=gpu; may be repeated."] = ()
    together: Annotated[int | None, "Vectors that share a pass of training; measured without it."] = None
    track: Annotated[str | None, TRACK] = None


def must_differ(key: str, values: Sequence[object]) -> None:
    """Raise :class:`LingarithError` where a value stands twice."""
    for value in values:
        if values.count(value) > 1:
            raise LingarithError(f"{value} stands twice in '{key}'; name it once")


def must_name(key: str, codes: Sequence[str]) -> None:
    """Raise :class:`LingarithError` where no language is named, or one twice."""
    must_differ(key, codes)
    if not codes:
        raise LingarithError(f"'{key}' is empty; name at least one language, such as pt")


def must_vary(key: str, pattern: str, slots: Sequence[str]) -> None:
    """Raise :class:`LingarithError` where a path is the same for every language or split."""
    for slot in slots:
        if is_path(pattern) and f"{{{slot}}}" not in pattern:
            raise LingarithError(f"'{key}' is '{pattern}', the same for every {slot}; put {{{slot}}} into the path")
