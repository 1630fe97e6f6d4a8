"""Commands as they are sent: RESP's arrays of bulk strings.

What is the same in many commands is packed once, and joined with the rest; hiredis only packs whole ones. It does read
the replies.
"""

from __future__ import annotations

from collections.abc import Sequence

Command = tuple[bytes | str, ...]

END = b"\r\n"
"""What a command ends with."""

LENGTHS = [b"\r\n$%d\r\n" % length for length in range(1024)]
"""What precedes a word of a usual length."""

NUMBERS = [b"\r\n$%d\r\n%d" % (len(str(number)), number) for number in range(256)]
"""Small numbers as words of a command, packed: making a number a text costs more than the rest of it."""


def pack(command: Command) -> bytes:
    """A whole command."""
    return b"*%d%b\r\n" % (len(command), pack_words(command))


def pack_count(words: int) -> bytes:
    """What a command of so many words begins with. Its words follow, and END."""
    return b"*%d" % words


def pack_words(words: Sequence[bytes | str]) -> bytes:
    """Some words of a command."""
    parts: list[bytes] = []
    lengths, add = LENGTHS, parts.append
    try:
        for word in words:
            add(lengths[len(word)])
            add(word)  # type: ignore[arg-type]
        return b"".join(parts)
    except (IndexError, TypeError):
        # One is long, or a text.
        encoded = [word.encode() if isinstance(word, str) else word for word in words]
        return b"".join([b"\r\n$%d\r\n%b" % (len(word), word) for word in encoded])
