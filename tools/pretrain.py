"""Pretrain the newsroom backbone: ``python -m tools.pretrain --out FOLDER``.

T5's two objectives, span corruption and prefix-LM, half and half, on :mod:`.pages`; one example in
seven is a list of random pieces that is repeated or looked up by key, since such pages
(tables, indexes) are where a model of this size learns to copy.

Every example is a pure function of (seed, step), a checkpoint holds all else, and the learning
rate is constant until the last fifth: a run that was stopped goes on where it was, and a
finished one can be made longer with a larger ``--steps``.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from transformers import T5Config, T5ForConditionalGeneration

from lingarith.model.memory import keep_memory
from lingarith.newsroom import pages
from lingarith.newsroom.writer import LANGUAGES

PAD, EOS, UNK, SENTINELS = 0, 1, 2, 50
BATCH, MAX_LENGTH = 64, 128

Example = tuple[list[int], list[int]]


def train_tokenizer(folder: Path, languages: tuple[str, ...], vocabulary: int, count: int = 60_000) -> None:
    """A unigram SentencePiece model with byte fallback and split digits, from pretraining pages.

    All languages weigh alike here, so that unseen ones are not spelt in single characters.
    SentencePiece looks for its first candidates among *different* words, in which a frequent whole
    word occurs once and is lost; so the candidates are counted here, over the running text.
    """
    texts = [pages.page("pretrain", languages[k % len(languages)], k) for k in range(count)]
    words = Counter(word for text in texts for part in re.split(r"[\d|]+", text) for word in ("\u2581" + part).split())
    words = Counter({word if word[0] == "\u2581" else "\u2581" + word: n for word, n in words.items()})
    candidates: Counter[str] = Counter()
    for word, n in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + 16, len(word)) + 1):
                candidates[word[start:end]] += n
    ranked = sorted(candidates.items(), key=lambda item: (-item[1] * len(item[0]), item[0]))
    kept = [item for k, item in enumerate(ranked) if k < 300_000 or len(item[0]) == 1]
    (folder / "candidates.tsv").write_text("".join(f"{piece}\t{n}\n" for piece, n in kept), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        seed_sentencepieces_file=str(folder / "candidates.tsv"),
        model_prefix=str(folder / "spiece"),
        vocab_size=vocabulary - SENTINELS,
        model_type="unigram",
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        user_defined_symbols=["|"],
        pad_id=PAD,
        eos_id=EOS,
        unk_id=UNK,
        bos_id=-1,
        num_threads=2,
        minloglevel=2,
    )


def encode_pages(
    folder: Path, tokenizer: sentencepiece.SentencePieceProcessor, languages: tuple[str, ...], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """All pretraining pages as one array of piece numbers (uint16), and where each starts."""
    saved = folder / f"pages-{count}.npz"
    if not saved.exists():
        with multiprocessing.Pool() as pool:
            write = functools.partial(pages.pretraining_page, languages=languages)
            rows = [tokenizer.encode(text)[:MAX_LENGTH] for text in pool.imap(write, range(count), chunksize=1000)]
        starts = np.cumsum([0, *map(len, rows)])
        partial = saved.with_suffix(".partial.npz")
        np.savez(partial, pieces=np.concatenate(rows).astype(np.uint16), starts=starts)
        partial.rename(saved)
    arrays = np.load(saved)
    return arrays["pieces"], arrays["starts"]


def span_corruption(row: list[int], first_sentinel: int, rng: np.random.Generator) -> Example:
    """T5's denoising: about 15 % of the row in spans of 3 on average goes to the target.

    >>> span_corruption([10, 11, 12, 13, 14, 15], 99, np.random.default_rng(0))
    ([10, 11, 12, 13, 14, 99, 1], [99, 15, 1])
    """
    length = len(row)
    spans = max(1, round(length * 0.15 / 3))
    source: list[int] = []
    target: list[int] = []
    position = 0
    for index, start in enumerate(sorted(rng.choice(length, size=min(spans, length), replace=False).tolist())):
        if start < position:
            continue
        end = min(length, start + int(rng.integers(1, 6)))
        source += [*row[position:start], first_sentinel - index]
        target += [first_sentinel - index, *row[start:end]]
        position = end
    return [*source, *row[position:], EOS], [*target, EOS]


def prefix_lm(row: list[int], bar: int, rng: np.random.Generator) -> Example:
    """The row split after one of its bars, or, half the time, at a position uniform in [1, L-1].

    Most of what follows a bar is told before it: nowhere else does a page ask for so much copying.
    """
    bars = [k + 1 for k, piece in enumerate(row[:-1]) if piece == bar]
    if bars and rng.random() < 0.5:
        split = bars[int(rng.integers(0, len(bars)))]
    else:
        split = int(rng.integers(1, len(row))) if len(row) > 1 else 1
    return [*row[:split], EOS], [*row[split:], EOS]


def list_page(pieces: np.ndarray, digits: np.ndarray, bar: int, rng: np.random.Generator) -> Example:
    """A list of random entries, each some pieces or a number; the target repeats or looks up."""

    def entry() -> list[int]:
        among = digits if rng.random() < 0.4 else pieces
        picked: list[int] = among[rng.integers(0, len(among), size=int(rng.integers(1, 4)))].tolist()
        return picked

    entries = [entry() for _ in range(int(rng.integers(2, 9)))]
    source = [piece for one in entries for piece in [*one, bar]]
    if rng.random() < 0.5:
        return [*source, EOS], [*source[:-1], EOS]
    # Look up what follows an entry.
    k = int(rng.integers(0, len(entries) - 1))
    return [*source, bar, *entries[k], EOS], [*entries[k + 1], EOS]


def list_share(step: int) -> float:
    """What share of the examples are lists at a step.

    With 15 % throughout, nothing was copied after 2,500 steps; mostly lists for a while bring copying
    about in several hundred steps, and it stays.
    """
    return 0.7 if 2_500 <= step < 3_700 else 0.15


class Batches:
    """The examples of each step, neighbours in length so that little is padding."""

    POOL = 32  # steps that share one draw of examples, sorted by length

    def __init__(self, folder: Path, languages: tuple[str, ...], count: int, size: int, seed: int) -> None:
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
        self.pieces, self.starts = encode_pages(folder, self.tokenizer, languages, count)
        self.digits = np.array([self.tokenizer.piece_to_id(d) for d in "0123456789"])
        special = (self.tokenizer.is_byte, self.tokenizer.is_control, self.tokenizer.is_unknown)
        words = [i for i in range(self.tokenizer.vocab_size()) if not any(test(i) for test in special)]
        self.words, self.bar = np.array(words), self.tokenizer.piece_to_id("|")
        self.size, self.seed = size, seed
        self.drawn: tuple[int, list[list[Example]]] = (-1, [])

    def __getitem__(self, step: int) -> list[Example]:
        if self.drawn[0] != step // self.POOL:
            self.drawn = (step // self.POOL, self.draw(step // self.POOL))
        return self.drawn[1][step % self.POOL]

    def draw(self, index: int) -> list[list[Example]]:
        """The batches of ``POOL`` steps, a pure function of (seed, index)."""
        rng = np.random.default_rng((self.seed, index))
        examples = []
        for k in rng.integers(0, len(self.starts) - 1, size=BATCH * self.POOL).tolist():
            row = self.pieces[self.starts[k] : self.starts[k + 1]].tolist()
            if rng.random() < list_share(index * self.POOL):
                examples.append(list_page(self.words, self.digits, self.bar, rng))
            elif rng.random() < 0.5:
                examples.append(span_corruption(row, self.size - 1, rng))
            else:
                examples.append(prefix_lm(row, self.bar, rng))
        # Neighbours in the length of the target first, then of the source.
        examples.sort(key=lambda example: len(example[1]))
        band = len(examples) // 8
        bands = [sorted(examples[k : k + band], key=lambda e: len(e[0])) for k in range(0, len(examples), band)]
        examples = [example for one in bands for example in one]
        return [examples[turn * BATCH : (turn + 1) * BATCH] for turn in rng.permutation(self.POOL)]


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    """Rows of unequal length as one matrix, filled up on the right."""
    width = -(-max(map(len, rows)) // 8) * 8  # few different shapes: each is compiled anew
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def loss_of(model: T5ForConditionalGeneration, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy; the large product with the vocabulary leaves out the padding."""
    mask = (source != PAD).long()
    inputs = model.prepare_decoder_input_ids_from_labels(target)
    read = model.encoder(input_ids=source, attention_mask=mask)[0]
    hidden = model.decoder(input_ids=inputs, encoder_hidden_states=read, encoder_attention_mask=mask, use_cache=False)[
        0
    ]
    scale = model.model_dim**-0.5 if model.config.scale_decoder_outputs else 1.0
    real = (target != -100).flatten().nonzero().flatten()
    real = real[: len(real) // 64 * 64]
    return torch.nn.functional.cross_entropy(
        model.lm_head(hidden.flatten(0, 1)[real] * scale).float(), target.flatten()[real]
    )


def configuration(vocabulary: int, width: int, layers: int) -> T5Config:
    """mT5's architecture, small, with tied embeddings (they help copying)."""
    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": 32,
        "d_ff": 2 * width,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "num_heads": width // 32,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.0,
        "tie_word_embeddings": True,
        "decoder_start_token_id": PAD,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
    }
    return T5Config(**settings)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 300 steps, constant, then linear to 0 over the last fifth."""
    return peak * min(1.0, (step + 1) / 300, max(0.0, (steps - step) / (0.2 * steps)))


def copying(
    model: T5ForConditionalGeneration,
    tokenizer: sentencepiece.SentencePieceProcessor,
    languages: tuple[str, ...],
    count: int = 192,
) -> dict[str, float]:
    """Teacher-forced accuracy on headlines that follow their article, on digits and on the rest.

    The stories are those of no other split; the names in them are those of pretraining.
    """
    from lingarith.newsroom.world import story
    from lingarith.newsroom.writer import write

    digits = {tokenizer.piece_to_id(d) for d in "0123456789"}
    counts = np.zeros((2, 2))
    for start in range(0, count, BATCH):
        articles = [write(story("copying", k), languages[k % len(languages)]) for k in range(start, start + BATCH)]
        source = padded([[*tokenizer.encode(a.text + " |"), EOS] for a in articles], PAD)
        target = padded([[*tokenizer.encode(a.summary), EOS] for a in articles], -100)
        with torch.no_grad():
            guess = model(input_ids=source, attention_mask=(source != PAD).long(), labels=target).logits.argmax(-1)
        for g, t in zip(guess.flatten().tolist(), target.flatten().tolist(), strict=True):
            if t != -100:
                counts[int(t in digits)] += (g == t, 1)
    rest, numbers = counts[:, 0] / counts[:, 1]
    return {"digits": round(float(numbers), 3), "rest": round(float(rest), 3)}


def save(folder: Path, state: dict[str, Any]) -> None:
    """One atomic file with all that a run needs to go on."""
    partial = folder / "checkpoint.partial"
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(folder / "checkpoint.pt")


def main() -> None:
    """Tokenizer, pages, training; each kept in ``--out`` and taken from there when it exists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("pretraining"))
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--steps", type=int, default=11_000)
    parser.add_argument("--pages", type=int, default=300_000)
    parser.add_argument("--vocabulary", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--peak", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--adamw", action="store_true", help="AdamW for all tensors; Muon takes the matrices otherwise")
    args = parser.parse_args()
    keep_memory()
    languages = tuple(args.languages.split(","))
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "spiece.model").exists():
        train_tokenizer(args.out, languages, args.vocabulary)
    batches = Batches(args.out, languages, args.pages, args.vocabulary, args.seed)
    print(f"{args.pages} pages of {len(batches.pieces) / args.pages:.1f} pieces", flush=True)
    torch.manual_seed(args.seed)
    shape = {"vocabulary": args.vocabulary, "width": args.width, "layers": args.layers}
    (args.out / "shape.json").write_text(json.dumps(shape))
    config = configuration(**shape)
    model = T5ForConditionalGeneration(config)
    print(f"{model.num_parameters() / 1e6:.2f} million parameters", flush=True)
    if not args.adamw:
        matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "shared" not in n and "bias" not in n]
        others = [p for p in model.parameters() if all(p is not m for m in matrices)]
        optimizers = [
            torch.optim.Muon(matrices, lr=args.peak, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=args.peak, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]
    else:
        optimizers = [
            torch.optim.AdamW(model.parameters(), lr=args.peak, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        ]
    step = 0
    if (args.out / "checkpoint.pt").exists():
        state = torch.load(args.out / "checkpoint.pt", weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step = state["step"]
    began, losses, lengths = time.time(), [], []
    while step < args.steps:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, args.steps, args.peak)
        examples = batches[step]
        source = padded([s for s, _ in examples], PAD)
        target = padded([t for _, t in examples], -100)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = loss_of(model, source, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        lengths.append(source.numel() + target.numel())
        step += 1
        if step % 100 == 0:
            line = {"step": step, "loss": round(float(np.mean(losses)), 4), "seconds": round(time.time() - began, 1)}
            line["tokens"] = round(float(np.mean(lengths)))
            if step % 100 == 0:
                line |= copying(model, batches.tokenizer, languages)
            print(json.dumps(line), flush=True)
            with open(args.out / "log.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            losses, lengths = [], []
        if step % 500 == 0 or step == args.steps:
            save(
                args.out,
                {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step},
            )


if __name__ == "__main__":
    main()
