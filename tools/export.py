"""A pretraining checkpoint as a model folder that transformers loads: half precision, safetensors.

``python -m tools.export --run pretraining`` writes the folder that ships in the package.
"""

from __future__ import annotations

import argparse
import json
from importlib import resources
from pathlib import Path

import torch
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

from .pretrain import SENTINELS, configuration


def tokenizer(model: Path) -> PreTrainedTokenizerFast:
    """The SentencePiece model for transformers: same pieces, EOS after an input, sentinels at the end."""
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(model.read_bytes())
    sentinels = [f"<extra_id_{k}>" for k in reversed(range(SENTINELS))]
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces] + [(name, 0.0) for name in sentinels]
    fast = Tokenizer(models.Unigram(vocabulary, unk_id=proto.trainer_spec.unk_id, byte_fallback=True))
    charsmap = proto.normalizer_spec.precompiled_charsmap
    fast.normalizer = normalizers.Sequence(
        [
            *([normalizers.Precompiled(charsmap)] if charsmap else []),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", proto.trainer_spec.eos_id)]
    )
    fast.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always"), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens=sentinels,
        clean_up_tokenization_spaces=False,
    )


def export(run: Path, folder: Path) -> None:
    """Write weights (float16), configuration, tokenizer and SentencePiece model into ``folder``."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    model = T5ForConditionalGeneration(configuration(**json.loads((run / "shape.json").read_text())))
    model.load_state_dict(state["model"])
    model.half().save_pretrained(folder)
    # float16 only saves space: computing happens in float32
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"dtype": "float32"}, indent=1) + "\n")
    tokenizer(run / "spiece.model").save_pretrained(folder)
    (folder / "spiece.model").write_bytes((run / "spiece.model").read_bytes())
    print(f"{folder}: step {state['step']}, {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.1f} MB")


def main() -> None:
    """Export the checkpoint of ``--run`` to ``--out``, by default into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("pretraining"))
    parser.add_argument("--out", type=Path, default=Path(str(resources.files("lingarith.newsroom") / "backbone")))
    args = parser.parse_args()
    export(args.run, args.out)


if __name__ == "__main__":
    main()
