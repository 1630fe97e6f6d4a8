"""Check the pages of a file before LMDB maps it: LMDB trusts what it finds, and a missing page kills the process.

A file that was cut off (an interrupted copy, a full disk, a truncation) still opens. A process that touches a page
beyond its end gets SIGBUS, which Python cannot catch. But a valid file may also be shorter than the number of pages in
its head: LMDB does not write new pages that the same transaction has freed again. Those are in the list of free pages.
So a file is whole exactly if every page beyond its end is in that list.

Source: lmdb.h and mdb.c of LMDB 0.9 (data version 1). Files of other versions are left to LMDB.
Cost: 20 µs; for a file that is shorter than its head says, a walk through its list of free pages.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from rome.errors import FormatError

_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_PAGE_SIZES: Final = frozenset(1 << n for n in range(8, 17))
_MAX_DEPTH: Final = 32
"""LMDB's cursors have no room for more levels."""
_NO_PAGE: Final = (1 << 64) - 1
_HEAD: Final = struct.Struct("=QHHHH")
"""The head of a page: number, padding, flags, end of the node offsets, start of the nodes. The last two together say
how many pages a large value takes."""
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_TREE: Final = struct.Struct("=IHHQQQQQ")
"""A tree: padding (in the first tree the page size), flags, depth, branch, leaf and overflow pages, entries, root."""
_META: Final = struct.Struct("=IIQQ")
_NODE: Final = struct.Struct("=HHHH")
_BIG_DATA: Final = 0x01
_TAIL: Final = struct.Struct("=QQ")
_META_BYTES: Final = _META.size + 2 * _TREE.size + _TAIL.size
_REMEDY: Final = "put a copy in its place (mdb_copy makes one of a live file)"


class Meta(NamedTuple):
    """One of the two heads of a file. `free_root` is the root of the tree that lists free pages."""

    page_size: int
    free_root: int
    last_page: int
    transaction: int


def check_whole(path: str) -> None:
    """Check that no page is missing that LMDB may touch.

    Raises:
        FormatError: the file was cut off, or its head is damaged.
    """
    with open(path, "rb") as file:
        for attempt in (1, 2, 3):  # another process may be writing the head just now
            try:
                meta = _newest(file)
                if meta is not None:
                    _check_end(file, meta)
            except _DamagedError as damage:
                if attempt == 3:
                    raise FormatError(f"{path} is damaged: {damage}; {_REMEDY}") from None
                time.sleep(0.01)
            else:
                return


class _DamagedError(Exception):
    """The file is damaged; the message says how."""


def _newest(file: BinaryIO) -> Meta | None:
    """The head that LMDB will use; None if it has another data version."""
    first = _meta(file, 0)
    if first is None:
        return None
    second = _meta(file, first.page_size)
    return second if second is not None and second.transaction > first.transaction else first


def _meta(file: BinaryIO, at: int) -> Meta | None:
    page = _read(file, at, _HEAD.size + _META_BYTES)
    if len(page) < _HEAD.size + _META_BYTES:
        raise _DamagedError("it ends inside its head")
    magic, version, _, _ = _META.unpack_from(page, _HEAD.size)
    if magic != _MAGIC or version & 0xFFFF != _DATA_VERSION:
        if at == 0:
            return None  # LMDB says what it is
        raise _DamagedError("its second head is none")
    trees = [_TREE.unpack_from(page, _HEAD.size + _META.size + _TREE.size * n) for n in (0, 1)]
    last_page, transaction = _TAIL.unpack_from(page, _HEAD.size + _META.size + 2 * _TREE.size)
    page_size = trees[0][0]
    if page_size not in _PAGE_SIZES:
        raise _DamagedError(f"pages of {page_size} bytes")
    for _, _, depth, _, _, _, _, root in trees:
        if depth > _MAX_DEPTH or (root == _NO_PAGE) != (depth == 0) or (root != _NO_PAGE and not 1 < root <= last_page):
            raise _DamagedError("a root that cannot be one")
    return Meta(page_size, trees[0][7], last_page, transaction)


def _check_end(file: BinaryIO, meta: Meta) -> None:
    present = os.fstat(file.fileno()).st_size // meta.page_size
    missing = meta.last_page + 1 - present
    if missing <= 0:
        return
    free = {page for page in _free_pages(file, meta) if present <= page <= meta.last_page}
    if len(free) != missing:
        raise _DamagedError(f"{missing - len(free)} of its {meta.last_page + 1} pages are missing: it was cut off")


def _free_pages(file: BinaryIO, meta: Meta) -> Iterator[int]:
    """Every number in the list of free pages."""
    size = meta.page_size
    waiting = [] if meta.free_root == _NO_PAGE else [meta.free_root]
    seen = 0
    while waiting:
        number = waiting.pop()
        page = _read(file, number * size, size)
        seen += 1
        if len(page) < size or seen > meta.last_page:
            raise _DamagedError("a part of its list of free pages is missing: it was cut off")
        _, _, flags, lower, _ = _HEAD.unpack_from(page)
        if not flags & (_BRANCH | _LEAF) or not _HEAD.size <= lower <= size:
            raise _DamagedError("its list of free pages is none")
        for (offset,) in struct.iter_unpack("=H", page[_HEAD.size : lower & ~1]):
            if offset + _NODE.size > size:
                raise _DamagedError("its list of free pages is none")
            low, high, node_flags, key_size = _NODE.unpack_from(page, offset)
            if flags & _BRANCH:
                waiting.append(low | high << 16 | node_flags << 32)
                continue
            length, start = low | high << 16, offset + _NODE.size + key_size
            if node_flags & _BIG_DATA:
                (first,) = struct.unpack_from("=Q", page.ljust(start + 8, b"\0"), start)
                value = _read(file, first * size + _HEAD.size, length)
            else:
                value = page[start : start + length]
            if len(value) != length or length < 8 or length % 8:
                raise _DamagedError("a part of its list of free pages is missing: it was cut off")
            count, *pages = struct.unpack(f"={length // 8}Q", value)
            yield from pages[:count]


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    if at > 1 << 62:
        return b""
    return os.pread(file.fileno(), size, at)
