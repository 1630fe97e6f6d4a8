"""SQLite's errors as Rome's, by extended result code. Messages stay SQLite's, since applications match them."""

from __future__ import annotations

import apsw

from rome import errors

_CONSTRAINTS: dict[int, type[errors.IntegrityError]] = {
    apsw.SQLITE_CONSTRAINT_UNIQUE: errors.UniqueViolation,
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY: errors.UniqueViolation,
    apsw.SQLITE_CONSTRAINT_ROWID: errors.UniqueViolation,
    apsw.SQLITE_CONSTRAINT_FOREIGNKEY: errors.ForeignKeyViolation,
    apsw.SQLITE_CONSTRAINT_NOTNULL: errors.NotNullViolation,
    apsw.SQLITE_CONSTRAINT_CHECK: errors.CheckViolation,
}

# As CPython's sqlite3 module maps them, so that applications find the classes they know.
_CLASSES: list[tuple[type[apsw.Error], type[errors.Error]]] = [
    (apsw.ConstraintError, errors.IntegrityError),
    (apsw.MismatchError, errors.IntegrityError),
    (apsw.TooBigError, errors.DataError),
    (apsw.FullError, errors.IdsExhaustedError),  # a working set is in memory, so nothing else can be full
    (apsw.CorruptError, errors.DatabaseError),
    (apsw.InternalError, errors.InternalError),
    (apsw.NotFoundError, errors.InternalError),
    (apsw.MisuseError, errors.InterfaceError),
    (apsw.RangeError, errors.InterfaceError),
    (apsw.BindingsError, errors.ProgrammingError),
    (apsw.Error, errors.OperationalError),
]

_NAMES = {code: str(name) for code, name in apsw.mapping_result_codes.items() if isinstance(code, int)} | {
    code: str(name) for code, name in apsw.mapping_extended_result_codes.items() if isinstance(code, int)
}


def translate(error: apsw.Error) -> errors.Error:
    """Rome's error for one of SQLite's."""
    code: int | None = getattr(error, "extendedresult", None)
    found: type[errors.Error] | None = _CONSTRAINTS.get(code or 0)
    if found is None:
        found = next(ours for theirs, ours in _CLASSES if isinstance(error, theirs))
    made = found(str(error))
    if code is not None:
        made.sqlite_errorcode, made.sqlite_errorname = code, _NAMES.get(code)
    return made


def not_unicode(error: UnicodeDecodeError) -> errors.DataError:
    """For a text that SQL made and Python cannot hold: CAST(blob AS TEXT), char(55296), or '"\\\\ud800"' in JSON."""
    return errors.DataError(f"a text is not UTF-8, so it can be neither stored nor returned: {error}")
