"""What may happen to a file: bytes that turn, ends that are missing, JSON that says something else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]
HUGE = int("9" * 400)
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, HUGE, -HUGE, 0.0, -0.0, 1e308, -1e308, 1e-320, float("nan"),
    float("inf"), "", " ", "x", "x" * 3000, "..", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "\u202e<b>",
    "[red]x[/red]", "\\g<0>", "{x}", "{{7*7}}", "\x1b[31m", "%s", "nan", "\n", [], {}, [[]], [None], [1, 2], ["a"],
    {"a": 1}, {"": None}, [["a", "b"]], [[float("nan"), 1]],
]  # fmt: skip
PIECES = [
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"{", b"}", b"[" * 50, b"\n", b"\r", b"\\ud800", b"1e999", b"-", b"NaN",
    b"\xef\xbb\xbf", b",", b"9" * 5000, b"\x1b[2J",
]  # fmt: skip
DEPTHS = (100, 900, 1100, 5000, 200_000)


def some_bytes(content: bytes, random: Random) -> bytes:
    """Bits turned, an end cut off, a part moved, overwritten, put in, or all of it gone or there twice."""
    size, what = len(content), random.randrange(10)
    start, end = sorted(random.randrange(size + 1) for _ in range(2))
    if what <= 2 and size:
        turned = bytearray(content)
        for _ in range(random.choice((1, 1, 1, 2, 8))):
            turned[random.randrange(size)] ^= 1 << random.randrange(8)
        return bytes(turned)
    if what == 3:
        return content[:start]
    if what == 4:
        return content[:start] + content[end:]
    if what == 5:
        return content[:end] + content[start:]
    if what == 6:
        filling = random.choice((bytes(8), b"\xff" * 8, random.randbytes(8)))
        return content[:start] + filling + content[start + 8 :]
    if what == 7:
        return random.choice((b"", content + content))
    return content[:start] + random.choice([*PIECES, random.randbytes(8)]) + content[start:]


def some_json(content: bytes, random: Random) -> bytes:
    """Values of other types, keys renamed, gone or there twice, lists without end; or some bytes."""
    what = random.random()
    if what < 0.3:
        return some_bytes(content, random)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return some_bytes(content, random)
    if what < 0.34:
        opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
        depth = random.choice(DEPTHS)
        return (opening * depth + "1" + closing * depth).encode()
    if what < 0.42 and isinstance(value, dict) and value:
        again = f"{json.dumps(random.choice(list(value)))}: {json.dumps(random.choice(ODD))}"
        text = json.dumps(value)
        return (f"{text[:-1]}, {again}}}" if random.random() < 0.5 else f"{{{again}, {text[1:]}").encode()
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _edited(value, random)
    return json.dumps(value).encode()


def some_lines(content: bytes, random: Random) -> bytes:
    """Lines of JSON: one changed, gone, there twice, or all in another order; or some bytes."""
    lines = content.splitlines(keepends=True)
    what = random.randrange(8)
    if not lines or what <= 2:
        return some_bytes(content, random)
    k = random.randrange(len(lines))
    if what == 3:
        lines.insert(k, random.choice(lines))
    elif what == 4:
        del lines[k]
    elif what == 5:
        random.shuffle(lines)
    else:
        lines[k] = some_json(lines[k].strip(), random) + b"\n"
    return b"".join(lines)


def some_tensors(content: bytes, random: Random) -> bytes:
    """The header of a safetensors file, its length or its numbers; or some bytes."""
    if random.random() < 0.4:
        return some_bytes(content, random)
    length = int.from_bytes(content[:8], "little")
    head, data = content[8 : 8 + length], content[8 + length :]
    what = random.randrange(5)
    if what == 0:
        data = some_bytes(data, random)
    elif what == 1:
        length = random.choice((0, 1, 2**63, 2**64 - 1, len(content), 100 * 2**20))
        return length.to_bytes(8, "little") + head + data
    elif what == 2:
        header = json.loads(head)
        one, other = (random.choice(list(header)) for _ in range(2))
        header[one], header[other] = header[other], header[one]
        head = json.dumps(header).encode()
    elif what == 3 and len(data) >= 4:
        at = random.randrange(len(data) // 4) * 4
        data = data[:at] + random.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f")) + data[at + 4 :]
    else:
        head = some_json(head, random)
    return len(head).to_bytes(8, "little") + head + data


def _edited(value: Any, random: Random) -> Any:
    """A JSON value with one thing changed in it."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return random.choice(ODD)
    parent, key = random.choice(places)
    what = random.randrange(8)
    if what <= 3:
        parent[key] = random.choice(ODD)
    elif what == 4:
        del parent[key]
    elif what == 5 and isinstance(parent, dict):
        parent[random.choice(("", "x", f"{key}x", key.upper(), "__class__"))] = parent.pop(key)
    elif what == 6 and type(parent[key]) in (int, float) and abs(parent[key]) < 2**63:
        number = parent[key]
        parent[key] = random.choice((number + 1, -number, number * 1000, float(number), str(number)))
    else:
        other, its = random.choice(places)
        parent[key] = copy.deepcopy(other[its]) if its in other or isinstance(other, list) else None
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inner):
        yield value, key
        yield from _places(one)
