from lingarith.report.grids import as_latex, as_markdown
from lingarith.study.records import Grid

GRID = Grid("A & B", ["", "λ·task", "p"], [["pt", "−1.2†", "< 0.001"], ["x_y", "3|4*", "50 %"]], "100 % {sure}")


def test_latex_escapes_what_it_reads_otherwise():
    text = as_latex([GRID], "It helps: 5 % & more.")
    assert r"\begin{tabular}{lrr}" in text
    assert r"pt & $-$1.2\textsuperscript{\dag} & $<$ 0.001 \\" in text
    assert r"x\_y & 3|4\textsuperscript{*} & 50 \% \\" in text
    assert r"\caption{A \& B. 100 \% \{sure\}}" in text
    assert r"\item It helps: 5 \% \& more." in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 3
    assert text.isascii()


def test_markdown_escapes_bars_and_stars():
    text = as_markdown([GRID], "")
    assert "| x_y | 3\\|4\\* | 50 % |" in text
