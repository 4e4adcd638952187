"""The page of ``lingarith play``, by Gradio, which is imported here alone; nothing of it comes from another host."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from ..adapters.merging import MERGINGS, SUM, Merging
from ..errors import LingarithError, optional
from ..vectors.composition import SPACES, Space
from .desk import ALONE, Desk, Output

MOST = 8
"""Sliders: an expression of more vectors is changed where it is written."""
LOWEST, HIGHEST = -1.0, 1.5
CSS = """
.said pre {white-space: pre-wrap; margin: 0; font-size: .9em} .said .wrong {color: var(--error-text-color, #b91c1c)}
.said pre.wrong {white-space: pre; overflow-x: auto}
.output p {font-size: 1.15em; min-height: 3em; margin: 0}
textarea, .prose p {unicode-bidi: plaintext; text-align: start}
.output small {color: var(--body-text-color); opacity: .8}
"""

Does = Callable[..., Iterator[dict[Any, Any]]]
"""What changes in the page, part by part."""


def gradio() -> Any:
    """Gradio, which then asks nobody for its version and counts nothing."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return optional("gradio", "play")


def shown(output: Output) -> str:
    """An output, its language, and what was copied, as HTML."""
    about = f"{output.language or 'no language told'} · {output.copied:.0%} copied in one stretch"
    return f'<p dir="auto">{html.escape(output.text) or "(nothing)"}</p><small>{about}</small>'


def said(sentence: object, wrong: bool = False) -> str:
    """A sentence about the expression, as HTML."""
    return f'<pre role="status"{" class=wrong" * wrong}>{html.escape(str(sentence))}</pre>'


def chosen(space: str, method: str) -> Space:
    """Where a sum is taken, and what takes its place; elsewhere than in ``delta`` nothing does."""
    return Space(space, merging=Merging.of(method) if space == "delta" else None)


def _laid_out(gr: Any, desk: Desk, space: Space) -> SimpleNamespace:
    """The parts of the page, put where they stand."""
    targets = desk.targets()
    begin = next(iter(targets.values()))
    gr.Markdown("# Add and subtract\nOne frozen backbone, and a sum of small vectors on it. Type it, or move it.")
    at = SimpleNamespace(number=gr.State(0), names=gr.State([]))
    with gr.Row():
        with gr.Column():
            at.target = gr.Dropdown(list(targets.items()), value=begin, label="Target language")
            at.kin = gr.Markdown()
            at.start = gr.Radio([], label="Begin with")
            at.expression = gr.Textbox(label="Expression", max_lines=3)
            at.about = gr.HTML(elem_classes="said")
            at.space = gr.Radio(list(SPACES), value=space.name, label="Space of the sum")
            given = str(space.merging or SUM)
            methods = list(dict.fromkeys([given, *MERGINGS]))
            at.method = gr.Dropdown(methods, value=given, label="Method", visible=space.name == "delta")
            at.sliders = [gr.Slider(LOWEST, HIGHEST, step=0.01, visible=False, interactive=True) for _ in range(MOST)]
        with gr.Column():
            at.article = gr.Textbox(label="Article", lines=6, max_lines=12)
            at.another = gr.Button("Another article of the newsroom")
            at.reference = gr.Markdown()
            with gr.Row():
                with gr.Column(min_width=200):
                    gr.Markdown(f"### {ALONE}")
                    at.alone = gr.HTML(elem_classes="output")
                with gr.Column(min_width=200):
                    gr.Markdown("### The sum")
                    at.composed = gr.HTML(elem_classes="output")
    return at


def page(desk: Desk, space: Space) -> Any:
    """The page as Gradio's blocks, which ``launch`` serves with :data:`CSS`."""
    gr = gradio()
    with gr.Blocks(title="lingarith play", analytics_enabled=False) as blocks:
        at = _laid_out(gr, desk, space)

        def answer(
            text: str, space: str, method: str, read: str, code: str, *, move: bool = True
        ) -> Iterator[dict[Any, Any]]:
            """What is said of an expression, with its sliders if they are to ``move``; then what is written with it."""
            yield {at.method: gr.Dropdown(visible=space == "delta")}
            try:
                combination, where = desk.heard(text), chosen(space, method)
                changes: dict[Any, Any] = {at.about: said(desk.figures(combination, where))}
                if move:
                    weights = list(combination.weights.items())
                    changes |= {at.names: weights}
                    for slider, (name, weight) in zip(at.sliders, weights, strict=False):
                        low, high = min(LOWEST, weight), max(HIGHEST, weight)
                        changes[slider] = gr.Slider(low, high, value=weight, label=name, visible=True)
                    changes |= {slider: gr.Slider(visible=False) for slider in at.sliders[len(weights) :]}
                yield changes
                texts = [desk.written(one, where, read, code) for one in (desk.alone(combination), combination)]
                yield dict(zip((at.alone, at.composed), map(shown, texts), strict=True))
            except LingarithError as mistake:
                yield {at.about: said(mistake, wrong=True)}

        def moved(
            space: str, method: str, read: str, code: str, held: list[tuple[str, float]], *weights: float
        ) -> Iterator[dict[Any, Any]]:
            """Where there are more vectors than sliders, the others keep their weights."""
            now = [*weights[: len(held)], *(weight for _, weight in held[len(weights) :])]
            terms = (f"{weight!r}*{name}" for (name, _), weight in zip(held, now, strict=True))
            text = str(desk.heard(" + ".join(terms)))
            yield {at.expression: text}
            yield from answer(text, space, method, read, code, move=False)

        def begun(name: str, space: str, method: str, read: str, code: str) -> Iterator[dict[Any, Any]]:
            text = str(desk.sums(code)[name])
            yield {at.expression: text}
            yield from answer(text, space, method, read, code)

        def turned(space: str, method: str, code: str, count: int) -> Iterator[dict[Any, Any]]:
            sums, (text, headline) = desk.sums(code), desk.article(code, count)
            name = list(sums)[min(1, len(sums) - 1)]
            yield {
                at.kin: desk.kin(code),
                at.start: gr.Radio(list(sums), value=name),
                at.article: text,
                at.reference: f"The newsroom's own headline:\n\n{headline}",
            }
            yield from begun(name, space, method, text, code)

        def another_one(text: str, space: str, method: str, code: str, count: int) -> Iterator[dict[Any, Any]]:
            read, headline = desk.article(code, count + 1)
            yield {at.article: read, at.reference: f"The newsroom's own headline:\n\n{headline}", at.number: count + 1}
            yield from answer(text, space, method, read, code)

        _listen(blocks, at, answer, begun, moved, turned, another_one)
    return blocks


def _listen(
    blocks: Any, at: SimpleNamespace, answer: Does, begun: Does, moved: Does, turned: Does, another_one: Does
) -> None:
    """What is done when the page is opened, and when somebody types, moves or chooses."""
    changed = [
        at.kin, at.start, at.expression, at.about, at.method, at.article, at.reference, at.alone, at.composed,
        at.number, at.names, *at.sliders,
    ]  # fmt: skip
    # Of the events that come while one is answered the last counts, and the backbone serves one at a time.
    usual = {"trigger_mode": "always_last", "concurrency_id": "backbone", "show_progress": "hidden"}
    # A dropdown says `input` when it is left, chosen or not, and `select` to the mouse alone.
    where = [at.space, at.method]
    asked = [at.expression, *where, at.article, at.target]
    for trigger, does, takes in (
        (blocks.load, turned, [*where, at.target, at.number]),
        (at.target.change, turned, [*where, at.target, at.number]),
        (at.start.input, begun, [at.start, *where, at.article, at.target]),
        (at.another.click, another_one, [at.expression, *where, at.target, at.number]),
        *((field.input, answer, asked) for field in (at.expression, at.space, at.method, at.article)),
        *((slider.input, moved, [*where, at.article, at.target, at.names, *at.sliders]) for slider in at.sliders),
    ):
        trigger(does, takes, changed, **usual)


def serve(desk: Desk, space: Space, host: str, port: int) -> None:
    """Serve the page until Ctrl-C."""
    gr = gradio()
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    page(desk, space).launch(
        server_name=host, server_port=port, share=False, ssr_mode=False, footer_links=[], css=CSS,
        theme=gr.themes.Default(**fonts), quiet=True, show_error=True,
    )  # fmt: skip
