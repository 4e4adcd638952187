"""The options that commands share, each defined once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..errors import LingarithError

if TYPE_CHECKING:
    from ..model.generate import Decoding
    from ..model.options import Adapter, TrainOptions
    from ..vectors.realise import Space as SumSpace

Options = TypeVar("Options", "Decoding", "TrainOptions")
DEFAULT_STORE = "lingarith-store"


def kronecker_size(text: str) -> tuple[int, int]:
    """(m, n) of ``MxN``. Raises :class:`LingarithError` on anything else."""
    sizes = text.lower().replace("×", "x").split("x")
    if len(sizes) != 2 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise LingarithError(f"{text!r} is no size of a Kronecker adapter; give m and n, such as 32x16")
    return int(sizes[0]), int(sizes[1])


def space_of(name: str, rank: int | None, kronecker: str | None) -> SumSpace:
    """The space that the options ask for, with its cut."""
    from ..vectors.realise import Space

    return Space(name, rank, None if kronecker is None else kronecker_size(kronecker))


def adapter_of(rank: int | None, alpha: float | None, kronecker: str | None, full: bool = False) -> Adapter:
    """The adapter that the options ask for. Raises :class:`LingarithError` when they ask for two."""
    from ..adapters.dense import Full
    from ..adapters.kronecker import Kronecker
    from ..adapters.lora import Lora

    if full:
        if (rank, alpha, kronecker) != (None, None, None):
            raise LingarithError(
                "--full trains no adapter, so --rank, --alpha and --kronecker say nothing; leave them out"
            )
        return Full()
    if kronecker is None:
        return Lora(4 if rank is None else rank, alpha)
    if rank is not None or alpha is not None:
        raise LingarithError("--rank and --alpha are LoRA's and --kronecker is another adapter; leave out one of them")
    return Kronecker(*kronecker_size(kronecker))


def changed(defaults: Options, **given: Any) -> Options:
    """The defaults with what was given on the command line (None means not given)."""
    return replace(defaults, **{name: value for name, value in given.items() if value is not None})


_DATA, _TRAINING, _DECODING = "Data", "Training", "Writing"

BackboneName = Annotated[
    str, typer.Option("--backbone", "-b", help="A hub name, a folder, or `newsroom`, the embedded default.")
]
StorePlace = Annotated[
    str, typer.Option("--store", envvar="LINGARITH_STORE", help="Where vectors lie: a folder, or s3://bucket/path.")
]
Space = Annotated[str, typer.Option("--space", help="Where sums are taken: factors, anchored, delta or peft-linear.")]
Rank = Annotated[int | None, typer.Option("--rank-out", help="In delta: cut the sum to its best rank k.")]
KroneckerOut = Annotated[
    str | None,
    typer.Option("--kronecker-out", metavar="MxN", help="With --rank-out k: to the best k Kronecker products instead."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Order of examples, splits, samples.")]
Search = Annotated[
    str, typer.Option("--search", help="How its values are searched with labels: grid, or halving (fewer outputs).")
]
Json = Annotated[bool, typer.Option("--json", help="The same facts for a program.")]
Precision = Annotated[
    str, typer.Option("--dtype", help="Type of the backbone's weights: auto, float32, bfloat16, float16.")
]
Bits = Annotated[int | None, typer.Option("--bits", help="Quantise the backbone to 8 or 4 bits (bitsandbytes).")]
DeviceMap = Annotated[str | None, typer.Option("--device-map", help="Handed to transformers, such as `auto`.")]

TaskData = Annotated[
    str,
    typer.Option(
        "--task",
        rich_help_panel=_DATA,
        help="Labelled data: `newsroom`, `xlsum`, or a pattern such as data/{language}/{split}.jsonl.gz.",
    ),
]
PlainData = Annotated[
    str,
    typer.Option(
        "--text", rich_help_panel=_DATA, help="Plain text: `newsroom`, `fineweb2`, `mc4`, or a pattern with {language}."
    ),
]
TextField = Annotated[
    str, typer.Option("--text-field", rich_help_panel=_DATA, help="The field that holds the article.")
]
PlainField = Annotated[
    str, typer.Option("--plain-field", rich_help_panel=_DATA, help="The field of plain text; .txt has `text`.")
]
SummaryField = Annotated[
    str,
    typer.Option("--summary-field", rich_help_panel=_DATA, help="The field that holds the summary."),
]
Prompt = Annotated[
    str, typer.Option("--prompt", rich_help_panel=_DATA, help="What the model reads; {text} is the article.")
]
Characters = Annotated[
    int, typer.Option("--characters", rich_help_panel=_DATA, help="Train on so much plain text of a language at most.")
]
Limit = Annotated[int | None, typer.Option("--limit", rich_help_panel=_DATA, help="Use so many examples at most.")]

Steps = Annotated[int | None, typer.Option("--steps", rich_help_panel=_TRAINING, help="Optimiser steps.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", rich_help_panel=_TRAINING, help="Examples in a step.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", rich_help_panel=_TRAINING, help="Its peak.")]
LoraRank = Annotated[
    int | None, typer.Option("--rank", rich_help_panel=_TRAINING, help="Rank of the LoRA vector; 4 without it.")
]
Alpha = Annotated[
    float | None,
    typer.Option("--alpha", rich_help_panel=_TRAINING, help="LoRA's α; without it α = rank, a scale of 1."),
]
KroneckerSize = Annotated[
    str | None,
    typer.Option(
        "--kronecker", metavar="MxN", rich_help_panel=_TRAINING, help="Not LoRA but Kronecker (paper: 32x16)."
    ),
]
FullTuning = Annotated[
    bool, typer.Option("--full", rich_help_panel=_TRAINING, help="No adapter: fine-tune the whole backbone.")
]
InitSeed = Annotated[
    int,
    typer.Option(
        "--init-seed", min=0, rich_help_panel=_TRAINING, help="Where vectors start; one for all that are added."
    ),
]
Accumulation = Annotated[
    int, typer.Option("--accumulation", rich_help_panel=_TRAINING, help="Micro-batches in a step.")
]
TrainPrecision = Annotated[
    str, typer.Option("--precision", rich_help_panel=_TRAINING, help="Computing in float32, bfloat16 or auto.")
]
Checkpointing = Annotated[
    bool, typer.Option("--activation-checkpointing", rich_help_panel=_TRAINING, help="Less memory, more time.")
]
ValidateEvery = Annotated[
    int | None, typer.Option("--validate-every", rich_help_panel=_TRAINING, help="Steps between two validation losses.")
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience",
        rich_help_panel=_TRAINING,
        help="End after so many validations without a lower loss; the vector is that of the lowest.",
    ),
]
MaxInput = Annotated[int | None, typer.Option("--max-input", rich_help_panel=_DATA, help="Tokens read, at most.")]
MaxTarget = Annotated[
    int | None, typer.Option("--max-target", rich_help_panel=_TRAINING, help="Tokens written, at most.")
]
Together = Annotated[
    int | None,
    typer.Option(
        "--together",
        min=1,
        rich_help_panel=_TRAINING,
        help="Vectors that share a pass of training; measured without it.",
    ),
]

MaxOutput = Annotated[int | None, typer.Option("--max-output", rich_help_panel=_DECODING, help="Tokens, at most.")]
Beams = Annotated[int, typer.Option("--beams", rich_help_panel=_DECODING, help="1 is greedy.")]
GenerateBatch = Annotated[int, typer.Option("--generate-batch", rich_help_panel=_DECODING, help="Inputs at a time.")]
ScoreModel = Annotated[
    Path | None,
    typer.Option(
        "--score-model",
        rich_help_panel=_DECODING,
        help="SentencePiece .model for ROUGE-2 of languages other than English (the backbone's tokenizer without it).",
    ),
]
