"""What the documents say is compared with what is there."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from lingarith.newsroom import pages, writer
from lingarith.newsroom.world import EVENTS, NAMES, PLACES, TEST_ONLY_NAMES, TEST_ONLY_PLACES, story
from tests.snippets.pages import commands

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lingarith"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
DATA = ("newsroom/languages", "newsroom/backbone", "studies")  # folders of data: one line in the tree
HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "safetensors",
    "pyarrow",
    "sentencepiece",
    "rouge_score",
    "sacrebleu",
    "matplotlib",
}
LIGHT = (
    "plain", "disk/files", "disk/locks", "algebra", "languages", "newsroom", "text", "scores", "model/options",
    "study/records", "study/weights", "study/options", "study/study", "study/tracking", "cli",
)  # fmt: skip
"""What help loads, and what stands above it without torch."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tree() -> dict[str, str]:
    """Path in the package → its line in ARCHITECTURE.md, in that order; folders end in a slash."""
    block = re.search(r"```\nsrc/lingarith/.*\n((?:.+\n)+?)```", read("ARCHITECTURE.md"))
    assert block
    found, folders = {}, []
    for line in block[1].splitlines():
        indent, name, about = re.fullmatch(r"( +)(\S+) *(.*)", line).groups()
        folders = [*folders[: len(indent) // 2 - 1], name]
        found["".join(folders)] = about
    return found


def floors() -> list[str]:
    """The top folders and files, as the tree orders them: imports run upwards."""
    return [path.rstrip("/").removesuffix(".py") for path in tree() if path.rstrip("/").count("/") == 0]


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imports(path: Path, body: list[ast.stmt] | None = None) -> Iterator[str]:
    """The modules that a file imports, by their full names: anywhere in it, or in these statements."""
    package = ("lingarith", *path.relative_to(SOURCE).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for statement in tree.body if body is None else body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                module = ".".join([*base, *([node.module] if node.module else [])])
                yield from (f"{module}.{alias.name}" for alias in node.names)


def on_import(path: Path) -> list[ast.stmt]:
    """The statements that run when a file is imported and import something."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [statement for statement in body if isinstance(statement, ast.Import | ast.ImportFrom)]


def test_the_tree_is_the_disk() -> None:
    told = {path for path in tree() if not path.endswith("/")}
    there = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "__init__.py"
    }
    there = {path for path in there if not path.startswith(DATA)}
    assert told == there
    assert {f"{folder}/" for folder in DATA} <= tree().keys()
    for path, about in tree().items():
        assert (SOURCE / path).exists(), path
        assert about or path.endswith("/"), f"{path} has no line about it"


def test_imports_run_upwards() -> None:
    order = floors()
    for path in sources():
        name = path.relative_to(SOURCE).as_posix()
        if name == "__init__.py":
            continue
        here = order.index(name.split("/")[0].removesuffix(".py"))
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "lingarith" and parts[1] in order:
                assert order.index(parts[1]) <= here, f"{name} imports {module}, which stands below it"


def test_the_library_imports_no_program() -> None:
    for path in sources():
        assert not any(name.split(".")[0] == "tools" for name in imports(path)), path


def test_light_floors_import_nothing_heavy() -> None:
    light = tuple(f"lingarith.{name.replace('/', '.')}" for name in (*LIGHT, "disk", "errors", "unicode"))
    for path in sources():
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith(LIGHT):
            for module in imports(path, on_import(path)):
                assert module.split(".")[0] not in HEAVY, f"{name} imports {module} when it is imported"
                above = (
                    module.split(".")[0] != "lingarith" or module == "lingarith.__version__" or module.startswith(light)
                )
                assert above, f"{name} imports {module} when it is imported"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/])(?:src|tests|tools|benchmarks|docs)/[\w./-]*\w", text):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (document.parent / target).exists(), target
    for module in re.findall(r"python -m ((?:lingarith|tools)[\w.]*)", text):
        path = ROOT / ("" if module.startswith("tools") else "src") / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for name, path in re.findall(r"`(\w+)` in `((?:src|tests)/[\w./]+\.py)`", text):
        assert re.search(rf"^(def |class |){name}\b", read(path), re.MULTILINE), f"{name} in {path}"


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "benchmarks").glob("*.py")))
def test_every_benchmark_is_run_and_described(name: str) -> None:
    for place in ("Makefile", "docs/benchmarks.md"):
        assert f"python benchmarks/{name}" in (ROOT / place).read_text(encoding="utf-8"), place


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_their_options_exist(document: Path) -> None:
    from lingarith.cli.main import app

    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", document.read_text(encoding="utf-8"))
    for words in (rest.split() for span in spans for rest in commands(span)):
        command = typer.main.get_command(app)
        for word in words:
            if not hasattr(command, "commands") or word.startswith("-"):
                break
            assert word in command.commands, f"there is no command lingarith {' '.join(words)}"
            command = command.commands[word]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        named = {word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)} - {"--help"}
        assert named <= known, f"lingarith {' '.join(words)}: {sorted(named - known)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_programs_have_their_options(document: Path) -> None:
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    for place, words in re.findall(r"python (?:-m )?((?:tools|benchmarks)[./]\w+)(?:\.py)?((?: +[^\s`|;]+)*)", text):
        path = ROOT / place.replace(".", "/")
        source = next(one for one in (path.with_suffix(".py"), path / "__main__.py") if one.exists()).read_text("utf-8")
        for option in re.findall(r" (--[a-z-]+)", words):
            assert f'"{option}"' in source, f"{place}{words}"


def test_every_page_is_in_the_site() -> None:
    pages = re.findall(r": ([\w-]+\.md)$", read("mkdocs.yml"), re.MULTILINE)
    made = {"commands.md", "architecture.md", "changelog.md"}
    assert sorted(pages) == sorted(made | {path.name for path in (ROOT / "docs").glob("*.md")})


def test_the_keys_of_a_study_are_all_told() -> None:
    from tools.keys import BEGIN, END, as_markdown

    assert BEGIN + as_markdown() + END in read("docs/data.md"), "run python -m tools.keys"


def test_the_data_card_tells_the_generator() -> None:
    card = read("docs/newsroom.md")
    for language in ("en", "pt", "ja"):
        article = writer.write(story("test", 11), language)
        assert f"| {language} | {article.text} | {article.summary} |" in card
    told = story("test", 11).facts
    assert told["place"][1] >= len(PLACES) - TEST_ONLY_PLACES  # type: ignore[index]
    assert told["person"][1] >= NAMES - TEST_ONLY_NAMES  # type: ignore[index]
    assert f"**Languages** ({len(writer.LANGUAGES)}): " in card
    assert f"**Events** ({len(EVENTS)}): {', '.join(EVENTS)}." in card
    assert f"one of {len(PLACES)} countries" in card


def test_the_data_card_tells_the_shares() -> None:
    card = read("docs/newsroom.md")
    rows = re.findall(r"^\| ([a-z ]+) \| ([\d.]+) % \| [\d.]+ % \|$", card, re.MULTILINE)
    told = {code: float(share) / 100 for codes, share in rows for code in codes.split()}
    assert told == pytest.approx(pages.SHARES)
    shapes = [float(share) / 100 for share in re.findall(r"^\| [^|]+ \| (\d+) % \|$", card, re.MULTILINE)]
    assert shapes == pytest.approx(list(pages.SHAPES.values()))


def test_the_backbone_card_tells_the_list_pages() -> None:
    from tools.pretrain import list_share

    card = read("docs/newsroom.md")
    usual, most, begin, end = re.search(
        r"Lists \| (\d+) % of the examples, and (\d+) % from step ([\d,]+) to ([\d,]+),", card
    ).groups()  # type: ignore[union-attr]
    first, last = int(begin.replace(",", "")), int(end.replace(",", ""))
    shares = [round(100 * list_share(step)) for step in (0, first - 1, first, last - 1, last, 10**6)]
    assert shares == [int(s) for s in (usual, usual, most, most, usual, usual)]


def test_the_backbone_card_tells_the_backbone() -> None:
    card, folder = read("docs/newsroom.md"), SOURCE / "newsroom" / "backbone"
    if not (folder / "model.safetensors").exists():
        pytest.skip("the backbone is not in this checkout")
    config = json.loads((folder / "config.json").read_text())
    content = (folder / "model.safetensors").read_bytes()
    tensors = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors.pop("__metadata__", None)
    count = sum(math.prod(tensor["shape"]) for tensor in tensors.values())
    assert f"{config['num_layers']} + {config['num_decoder_layers']} layers, width {config['d_model']}" in card
    assert f"{config['num_heads']} heads of {config['d_kv']}, feed-forward {config['d_ff']}" in card
    assert f"{config['vocab_size']:,} pieces: {count / 1e6:.2f} million parameters" in card
    assert {tensor["dtype"] for tensor in tensors.values()} == {"F16"}


def test_the_figures_are_those_of_the_backbone_that_ships() -> None:
    from lingarith.model.loading import load
    from tools.card import BEGIN, END, as_markdown

    card, figures = read("docs/newsroom.md"), ROOT / "docs" / "newsroom-figures.json"
    assert card.count(BEGIN) == card.count(END) == 1
    if not figures.exists():
        assert f"{BEGIN}Not measured yet.{END}" in card
        return
    found = json.loads(figures.read_text())
    assert BEGIN + as_markdown(found) + END in card
    assert found["languages"].keys() == set(writer.LANGUAGES)
    assert found["backbone"] == load("newsroom").fingerprint
