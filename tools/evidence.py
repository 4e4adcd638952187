"""The records of studies that are kept in ``evidence/``, packed, and their tables and figures made again from these.

python -m tools.evidence pack runs/sources-newsroom    # evidence/sources.tar.xz
python -m tools.evidence figures --out figures         # what `make figures` does: no model is loaded
"""

from __future__ import annotations

import io
import json
import math
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lingarith.study.records import Run

EVIDENCE = Path(__file__).parents[1] / "evidence"
FILES = ("run.json", "examples.jsonl", "records.jsonl", "choices.jsonl", "vectors.jsonl")
HERE, EVERY = "*.tar.xz", "**/*.tar.xz"
"""Runs on the newsroom; and those in folders too, of other backbones, whose gains and costs are no facts of `plan`."""
TEXTS = {"examples.jsonl": ("input", "reference", "alternatives"), "records.jsonl": ("output",)}
"""What makes files large and no table needs but chrF's corpus figures: articles and outputs."""

app = typer.Typer(add_completion=False)


@app.command()
def pack(
    run: Path, name: str = "", texts: Annotated[bool, typer.Option(help="Keep articles and outputs.")] = True
) -> None:
    """Pack the folder of a run."""
    path = EVIDENCE / f"{name or run.name.removesuffix('-newsroom')}.tar.xz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:xz", preset=9) as packed:
        for file in FILES:
            if (run / file).exists():
                content = (run / file).read_text(encoding="utf-8")
                content = content if texts else without(content, TEXTS.get(file, ()))
                entry = tarfile.TarInfo(file)  # no time, no owner: the same records are the same bytes
                entry.size = len(content.encode())
                packed.addfile(entry, io.BytesIO(content.encode()))
    typer.echo(f"{path}: {path.stat().st_size:,} bytes")


def without(lines: str, fields: tuple[str, ...]) -> str:
    """JSON lines with these fields empty, but for one that holds numbers alone, as where references were predicted.

    >>> without('{"id": "a", "output": "Sismo"}', ("output",)), without('{"output": "2.5"}', ("output",))
    ('{"id": "a", "output": ""}\\n', '{"output": "2.5"}\\n')
    """
    if not fields:
        return lines
    rows = [json.loads(line) for line in lines.splitlines()]
    texts = [key for key in fields if not all(_number(row.get(key)) for row in rows)]
    blank = [row | {key: type(row[key])() for key in texts if key in row} for row in rows]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in blank)


def _number(value: object) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


@app.command()
def figures(out: Path = Path("figures")) -> None:
    """Tables, page and figures of everything in ``evidence/``, a folder each."""
    from lingarith.report.findings import findings
    from lingarith.report.writing import write_report

    for name, run in runs(EVERY).items():
        page, *_ = write_report({name: findings(run)}, out / name)
        typer.echo(f"{name}: {page}")


@app.command()
def facts() -> None:
    """The facts that `lingarith plan` goes by without runs of the user's own."""
    from lingarith.report import plan

    path = Path(plan.__file__).with_name("facts.json")
    path.write_text(plan.as_json(plan.evidence_of(runs())), encoding="utf-8")
    typer.echo(f"{path}: {path.stat().st_size:,} bytes")


def runs(which: str = HERE) -> dict[str, Run]:
    """What is kept by its name: on the newsroom, or everything."""
    from lingarith.report.runs import read_runs

    read = {}
    for path in sorted(EVIDENCE.glob(which)):
        name = path.relative_to(EVIDENCE).as_posix().removesuffix(".tar.xz")
        with tempfile.TemporaryDirectory() as folder, tarfile.open(path) as packed:
            packed.extractall(Path(folder) / name, filter="data")
            [read[name]] = read_runs([Path(folder) / name]).values()
    return read


if __name__ == "__main__":
    app()
