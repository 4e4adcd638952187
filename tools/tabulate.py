"""Program: ``python -m tools.tabulate`` writes ``uriel.csv`` anew from lang2vec's arrays."""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path

from lingarith.languages.codes import OF_THE_PAPER, language
from lingarith.languages.distances import LANGUAGES, SHIPPED
from lingarith.languages.uriel import MEASURES, distance

TABLE = Path(__file__).parents[1] / "src" / "lingarith" / "languages" / SHIPPED


def main() -> None:
    """A row for each two languages of the paper, macro-languages and individual ones, to four decimals."""
    codes = sorted({language(code, individual=which).iso639_3 for code in OF_THE_PAPER for which in (False, True)})
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*LANGUAGES, *MEASURES])
        for one, other in combinations(codes, 2):
            found = (distance(measure, one, other) for measure in MEASURES)
            writer.writerow([one, other, *("" if value is None else f"{value:.4f}" for value in found)])


if __name__ == "__main__":
    main()
