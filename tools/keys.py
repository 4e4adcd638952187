"""The keys of a study, as docs/data.md lists them: ``python -m tools.keys`` writes them there."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

from lingarith.cli.flags import default_of
from lingarith.study.study import GROUPS, keys_of

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
BEGIN, END = "<!-- keys: begin -->\n", "\n<!-- keys: end -->"


def as_markdown() -> str:
    """A row for each key, with its help and what it is without being given, by groups."""
    rows = {"": "| Key | What it says | Without it |\n|---|---|---|"}
    for name, group in GROUPS.items():
        rows[f"**{name}**"] = f"| **{name}** | | |"
        for field in fields(group):
            if field.name in (hints := keys_of(group)):
                about, default = get_args(hints[field.name])[1], default_of(name, field)
                row = f"| `{field.name}` | {about} | {default} |"
                if (before := rows.setdefault(field.name, row)) != row:  # max_input is in two groups
                    rows[field.name] = f"{before.removesuffix(' |')}; in {name}: {default} |"
    return "\n".join(rows.values())


def main() -> None:
    """Write the rows into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + as_markdown() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
