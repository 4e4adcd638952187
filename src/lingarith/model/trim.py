"""A backbone with the pieces of its vocabulary that some texts need, and no others: a folder that loads like any.

Vectors change layers between the embeddings, so one that is trained on a trimmed backbone does the same on the whole
one wherever the tokens are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer

from ..disk.files import json_bytes, must_be_ours, read_json, replacing, write_file
from ..errors import LingarithError
from ..formats.gguf import ABOUT
from ..plain import record
from ..progress import Progress, quiet
from . import vocabulary
from .backbone import Backbone

FILES = (
    "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja", "special_tokens_map.json", ABOUT,
)  # fmt: skip
SAMPLE = 2000
"""About on how many texts it is looked whether they are cut otherwise than before."""


@dataclass(frozen=True)
class Trimmed:
    """What was kept: ``pieces`` of ``of``, ``parameters`` of ``before``; of ``texts`` that were looked at,
    ``otherwise`` are cut into other tokens than by the whole vocabulary."""

    pieces: int
    of: int
    parameters: int
    before: int
    texts: int
    otherwise: int


def trim(backbone: Backbone, texts: Callable[[], Iterable[str]], out: Path, progress: Progress = quiet) -> Trimmed:
    """Write the backbone with the pieces of the texts (read twice) to the folder ``out``; its model is used up.

    What is there already is not written again. Raises :class:`LingarithError` where there is no text, the tokenizer or
    the model cannot be trimmed, or ``out`` holds another trimmed backbone, or what was not written here.
    """
    tokenizer, model, out = backbone.tokenizer, backbone.model, out.resolve()
    must_be_ours(out, FILES, ABOUT)
    made = vocabulary.backend(tokenizer, backbone.name)
    read = [0]

    def count(number: int) -> None:
        read[0] = number
        progress("reading texts", number, 0)

    tokens = vocabulary.used(tokenizer, texts(), count)
    if not tokens:
        raise LingarithError("the texts hold nothing, so no piece would be left; give texts of the languages you need")
    keep = vocabulary.needed(made, tokenizer, tokens, also=[one for _, _, ids in _ids(model) for one in ids])
    lowered = json.dumps(vocabulary.trimmed(made, keep), ensure_ascii=False)
    if (out / ABOUT).exists():
        return _again(out, backbone, lowered)
    before, whole = _count(model), len(tokenizer.get_vocab())
    _cut_rows(model, keep, backbone.name)
    new = {old: number for number, old in enumerate(keep)}
    for place, key, ids in list(_ids(model)):
        setattr(place, key, [new[one] for one in ids] if isinstance(getattr(place, key), list) else new[ids[0]])
    with replacing(out) as folder:
        progress("writing the trimmed backbone", 0, 0)
        tokenizer.save_pretrained(folder)
        for former in (folder / "tokenizer.json", *folder.glob("*.model")):
            former.unlink(missing_ok=True)
        settings = json.loads((folder / "tokenizer_config.json").read_bytes())
        settings.pop("added_tokens_decoder", None)  # by their former numbers
        (folder / "tokenizer_config.json").write_bytes(json_bytes(settings))
        write_file(folder / "tokenizer.json", lowered)
        sample = (text for number, text in enumerate(texts()) if number % max(1, read[0] // SAMPLE) == 0)
        seen, otherwise = _compared(tokenizer, AutoTokenizer.from_pretrained(folder), new, sample)
        result = Trimmed(len(keep), whole, _count(model), before, seen, otherwise)
        model.save_pretrained(folder, max_shard_size="1TB")  # type: ignore[operator]
        about = {"whole": backbone.name, "fingerprint": backbone.fingerprint, "how": f"trimmed to {len(keep):,} pieces"}
        made_of = {"base": backbone.name, **backbone.made}
        made_of.pop("computed", None)  # which this machine chose
        write_file(folder / ABOUT, json_bytes({**made_of, "trimmed": about | asdict(result)}))
    return result


def _again(out: Path, backbone: Backbone, lowered: str) -> Trimmed:
    """What was kept when the same was written to ``out``. Raises :class:`LingarithError` where that is another one,
    which vectors may have been trained on."""
    about = read_json(out / ABOUT, mend=(mend := "give another folder, or delete that one")).get("trimmed")
    about, pieces = about if isinstance(about, dict) else {}, out / "tokenizer.json"
    written = pieces.read_bytes() if pieces.exists() else b""
    if (about.get("fingerprint"), written) != (backbone.fingerprint, lowered.encode()):
        raise LingarithError(
            f"{out} holds a backbone that was trimmed to other texts, or from another one, and vectors may have been "
            f"trained on it; {mend}"
        )
    facts = {key: value for key, value in about.items() if key not in ("whole", "fingerprint", "how")}
    return record(Trimmed, facts, f"{out / ABOUT}: 'trimmed'", mend=mend)


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _ids(model: Any) -> Iterator[tuple[Any, str, list[int]]]:
    """Every number of a token in the configurations of a model: where it stands, its key, and the numbers."""
    configs = [model.config, model.generation_config]
    configs += [getattr(model.config, part) for part in model.config.sub_configs if getattr(model.config, part, None)]
    for config in configs:
        for key, value in list(vars(config).items()):
            ids = value if isinstance(value, list) else [value]
            if key.endswith("_token_id") and all(type(one) is int and one >= 0 for one in ids) and ids:
                yield config, key, ids


def _cut_rows(model: Any, keep: Sequence[int], name: str) -> None:
    """Leave the rows ``keep`` of the embeddings, in that order. Raises :class:`LingarithError` where there are more
    tables by token than those."""
    rows = torch.tensor(keep)
    tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    size = tables[0].weight.shape[0]
    ours = {id(parameter) for table in tables if table is not None for parameter in table.parameters()}
    for path, parameter in model.named_parameters():
        if parameter.shape[0] == size and id(parameter) not in ours:
            raise LingarithError(f"{name} has another table by token, {path}, so it cannot be trimmed; use it whole")
    held = [{key: part.data[rows] for key, part in table.named_parameters()} if table else {} for table in tables]
    model.resize_token_embeddings(len(keep), mean_resizing=False)
    for table, parts in zip((model.get_input_embeddings(), model.get_output_embeddings()), held, strict=True):
        for key, part in parts.items():
            table.get_parameter(key).data.copy_(part)


def _compared(whole: Any, trimmed: Any, new: Mapping[int, int], texts: Iterable[str]) -> tuple[int, int]:
    """Of how many texts, how many are cut otherwise by a trimmed tokenizer."""
    sample = list(texts)
    pairs = zip(vocabulary.cut(whole, sample), vocabulary.cut(trimmed, sample), strict=True)
    return len(sample), sum([new.get(one) for one in before] != after for before, after in pairs)
