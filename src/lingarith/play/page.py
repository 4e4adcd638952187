"""The page of ``lingarith play``, by Gradio, which is imported here alone; nothing of it comes from another host."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from typing import Any

from ..errors import LingarithError, optional
from ..vectors.composition import SPACES
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


def page(desk: Desk, space: str) -> Any:
    """The page as Gradio's blocks, which ``launch`` serves with :data:`CSS`."""
    gr = gradio()
    targets = desk.targets()
    begin = next(iter(targets.values()))
    with gr.Blocks(title="lingarith play", analytics_enabled=False) as blocks:
        gr.Markdown("# Add and subtract\nOne frozen backbone, and a sum of small vectors on it. Type it, or move it.")
        number, names = gr.State(0), gr.State([])
        with gr.Row():
            with gr.Column():
                target = gr.Dropdown(list(targets.items()), value=begin, label="Target language")
                kin = gr.Markdown()
                start = gr.Radio([], label="Begin with")
                expression = gr.Textbox(label="Expression", max_lines=3)
                about = gr.HTML(elem_classes="said")
                where = gr.Radio(list(SPACES), value=space, label="Space of the sum")
                sliders = [gr.Slider(LOWEST, HIGHEST, step=0.01, visible=False, interactive=True) for _ in range(MOST)]
            with gr.Column():
                article = gr.Textbox(label="Article", lines=6, max_lines=12)
                another = gr.Button("Another article of the newsroom")
                reference = gr.Markdown()
                with gr.Row():
                    with gr.Column(min_width=200):
                        gr.Markdown(f"### {ALONE}")
                        alone = gr.HTML(elem_classes="output")
                    with gr.Column(min_width=200):
                        gr.Markdown("### The sum")
                        composed = gr.HTML(elem_classes="output")

        def answer(text: str, space: str, read: str, code: str, *, move: bool = True) -> Iterator[dict[Any, Any]]:
            """What is said of an expression, with its sliders if they are to ``move``; then what is written with it."""
            try:
                combination = desk.heard(text)
                changes: dict[Any, Any] = {about: said(desk.figures(combination, space))}
                if move:
                    weights = list(combination.weights.items())[:MOST]
                    changes |= {names: [name for name, _ in weights]}
                    for slider, (name, weight) in zip(sliders, weights, strict=False):
                        low, high = min(LOWEST, weight), max(HIGHEST, weight)
                        changes[slider] = gr.Slider(low, high, value=weight, label=name, visible=True)
                    changes |= {slider: gr.Slider(visible=False) for slider in sliders[len(weights) :]}
                yield changes
                texts = [desk.written(one, space, read, code) for one in (desk.alone(combination), combination)]
                yield dict(zip((alone, composed), map(shown, texts), strict=True))
            except LingarithError as mistake:
                yield {about: said(mistake, wrong=True)}

        def moved(space: str, read: str, code: str, held: list[str], *weights: float) -> Iterator[dict[Any, Any]]:
            terms = (f"{weight!r}*{name}" for name, weight in zip(held, weights, strict=False))
            text = str(desk.heard(" + ".join(terms)))
            yield {expression: text}
            yield from answer(text, space, read, code, move=False)

        def begun(name: str, space: str, read: str, code: str) -> Iterator[dict[Any, Any]]:
            text = str(desk.sums(code)[name])
            yield {expression: text}
            yield from answer(text, space, read, code)

        def turned(space: str, code: str, count: int) -> Iterator[dict[Any, Any]]:
            sums, (text, headline) = desk.sums(code), desk.article(code, count)
            name = list(sums)[min(1, len(sums) - 1)]
            yield {
                kin: desk.kin(code),
                start: gr.Radio(list(sums), value=name),
                article: text,
                reference: f"The newsroom's own headline:\n\n{headline}",
            }
            yield from begun(name, space, text, code)

        def another_one(text: str, space: str, code: str, count: int) -> Iterator[dict[Any, Any]]:
            read, headline = desk.article(code, count + 1)
            yield {article: read, reference: f"The newsroom's own headline:\n\n{headline}", number: count + 1}
            yield from answer(text, space, read, code)

        changed = [kin, start, expression, about, article, reference, alone, composed, number, names, *sliders]
        # Of the events that come while one is answered the last counts, and the backbone serves one at a time.
        usual = {"trigger_mode": "always_last", "concurrency_id": "backbone", "show_progress": "hidden"}
        # A dropdown says `input` when it is left, chosen or not, and `select` to the mouse alone.
        four = [expression, where, article, target]
        for trigger, does, takes in (
            (blocks.load, turned, [where, target, number]),
            (target.change, turned, [where, target, number]),
            (start.input, begun, [start, where, article, target]),
            (another.click, another_one, [expression, where, target, number]),
            *((field.input, answer, four) for field in (expression, where, article)),
            *((slider.input, moved, [where, article, target, names, *sliders]) for slider in sliders),
        ):
            trigger(does, takes, changed, **usual)
    return blocks


def serve(desk: Desk, space: str, host: str, port: int) -> None:
    """Serve the page until Ctrl-C."""
    gr = gradio()
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    page(desk, space).launch(
        server_name=host, server_port=port, share=False, ssr_mode=False, footer_links=[], css=CSS,
        theme=gr.themes.Default(**fonts), quiet=True, show_error=True,
    )  # fmt: skip
