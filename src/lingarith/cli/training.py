"""``lingarith train language`` and ``lingarith train task``: one vector each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .opening import open_backbone, open_store, print_json
from .progress import shown

if TYPE_CHECKING:
    from ..store.store import Store

app = typer.Typer(help="Train one vector and put it into the store.", no_args_is_help=True)


@app.command()
def language(
    lang: Annotated[str, typer.Argument(metavar="LANG", help="The language's code, such as pt.")],
    text: o.PlainData = "newsroom",
    plain_field: o.PlainField = "text",
    characters: o.Characters = 2_000_000,
    backbone: o.BackboneName = "newsroom",
    store: o.StorePlace = o.DEFAULT_STORE,
    steps: o.Steps = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    rank: o.LoraRank = None,
    alpha: o.Alpha = None,
    kronecker: o.KroneckerSize = None,
    full: o.FullTuning = False,
    max_input: o.MaxInput = None,
    accumulation: o.Accumulation = 1,
    precision: o.TrainPrecision = "auto",
    activation_checkpointing: o.Checkpointing = False,
    validate_every: o.ValidateEvery = None,
    patience: o.Patience = None,
    seed: o.Seed = 0,
    init_seed: o.InitSeed = 0,
    dtype: o.Precision = "auto",
    bits: o.Bits = None,
    device_map: o.DeviceMap = None,
    as_json: o.Json = False,
) -> None:
    """Train a language vector on plain text (prefix-LM).

    `lingarith train language pt --text 'data/plain/{language}.txt.gz' --steps 5000`
    """
    from dataclasses import replace

    from ..study.ingredients import Job
    from ..study.plan import Reading, defaults, full_learning_rate

    base = defaults(backbone)
    training = o.changed(
        base.language_training,
        adapter=o.adapter_of(rank, alpha, kronecker, full), steps=steps, batch_size=batch_size,
        learning_rate=full_learning_rate(backbone) if full and learning_rate is None else learning_rate,
        max_input=max_input, accumulation=accumulation, precision=precision,
        activation_checkpointing=activation_checkpointing, validate_every=validate_every, patience=patience,
        seed=seed, init_seed=init_seed,
    )  # fmt: skip
    options = replace(base, text=text, plain_field=plain_field, text_characters=characters)
    vectors = open_store(store)
    with shown() as progress:
        read = Reading(options, vectors.folder / "text", progress)
        job = Job(read.plain(lang), training, read.held_out(lang))
    _obtain(job, backbone, vectors, dtype, bits, device_map, as_json)


@app.command()
def task(
    task: Annotated[str, typer.Argument(help="`newsroom`, `xlsum`, or a path pattern with {language} and {split}.")],
    lang: Annotated[str, typer.Argument(metavar="LANG", help="The language's code, such as en.")],
    text_field: o.TextField = "text",
    summary_field: o.SummaryField = "summary",
    prompt: o.Prompt = "summarize: {text}",
    limit: o.Limit = None,
    backbone: o.BackboneName = "newsroom",
    store: o.StorePlace = o.DEFAULT_STORE,
    steps: o.Steps = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    rank: o.LoraRank = None,
    alpha: o.Alpha = None,
    kronecker: o.KroneckerSize = None,
    full: o.FullTuning = False,
    max_input: o.MaxInput = None,
    max_target: o.MaxTarget = None,
    accumulation: o.Accumulation = 1,
    precision: o.TrainPrecision = "auto",
    activation_checkpointing: o.Checkpointing = False,
    validate_every: o.ValidateEvery = None,
    patience: o.Patience = None,
    seed: o.Seed = 0,
    init_seed: o.InitSeed = 0,
    dtype: o.Precision = "auto",
    bits: o.Bits = None,
    device_map: o.DeviceMap = None,
    as_json: o.Json = False,
) -> None:
    """Train a task vector on labelled examples of one language.

    `lingarith train task 'data/summ/{language}/{split}.jsonl.gz' en --steps 5000`
    """
    from dataclasses import replace

    from ..study.ingredients import Job
    from ..study.plan import Reading, defaults, full_learning_rate, is_path

    base = defaults(backbone)
    training = o.changed(
        base.task_training,
        adapter=o.adapter_of(rank, alpha, kronecker, full), steps=steps, batch_size=batch_size,
        learning_rate=full_learning_rate(backbone) if full and learning_rate is None else learning_rate,
        max_input=max_input, max_target=max_target, accumulation=accumulation, precision=precision,
        activation_checkpointing=activation_checkpointing, validate_every=validate_every, patience=patience,
        seed=seed, init_seed=init_seed,
    )  # fmt: skip

    options = replace(base, task=task, text_field=text_field, summary_field=summary_field, prompt=prompt, seed=seed)
    # Without a split in the path it would be the training data themselves.
    validated = [lang] if not is_path(task) or "{split}" in task else []
    vectors = open_store(store)
    with shown() as progress:
        read = Reading(options, vectors.folder / "text", progress)
        validation = read.optional(validated, "validation", 128).get(lang)
        job = Job(read.labelled(lang, "train", limit), training, validation)
    _obtain(job, backbone, vectors, dtype, bits, device_map, as_json)


def _obtain(
    job: Any, backbone: str, vectors: Store, dtype: str, bits: int | None, device_map: str | None, as_json: bool
) -> None:
    from ..model.parallel import joined
    from ..study.ingredients import have, obtain

    with joined() as processes:
        model = open_backbone(backbone, dtype, bits, device_map)
        existed = have(job, model, vectors)
        with shown() as progress:
            vector, digest = obtain(job, model, vectors, None if processes.rank else progress)
    cost = vector.origin["cost"]
    if processes.rank:
        return
    if as_json:
        print_json({"name": vector.name, "hash": digest, "trained": not existed, "origin": dict(vector.origin)})
    elif existed:
        print(f"{vector.name} was in {vectors.place} already ({digest[:12]}): same data, backbone and options")
    else:
        print(
            f"{vector.name} ({digest[:12]}) is in {vectors.place}: {vector.origin['steps']} steps, "
            f"{cost['tokens']:,} tokens, {cost['seconds']:.0f} s; losses in objects/{digest[:12]}…/log.jsonl"
        )
