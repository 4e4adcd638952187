"""``python -m tools.check CODE…``: what a language file lacks, and samples of it."""

from __future__ import annotations

import sys

import py3langid

from lingarith.newsroom.world import story
from lingarith.newsroom.writer import problems, write


def main() -> None:
    """Print problems, the share of 200 articles that py3langid recognises, and some articles."""
    for code in sys.argv[1:]:
        found = list(problems(code))
        print(f"== {code}: {len(found)} problems", *found, sep="\n  ")
        if found:
            continue
        articles = [write(story("check", number), code) for number in range(200)]
        guesses = [py3langid.classify(article.text)[0] for article in articles]
        wrong = sorted(set(guesses) - {code})
        print(f"  py3langid: {guesses.count(code) / 2:.1f} % are {code}" + (f", others {wrong}" if wrong else ""))
        for article in articles[:8]:
            print(
                "",
                article.text,
                f"  = {article.summary}",
                *map("  ? {0[0]} {0[1]}".format, article.questions),
                sep="\n",
            )


if __name__ == "__main__":
    main()
