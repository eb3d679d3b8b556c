"""Statements about many rows instead of one each.

Each step of SQLite gives up the interpreter's lock; a busy event loop gives it back milliseconds later, and a commit of
a hundred rows would wait for it a hundred times.
"""

from collections.abc import Iterable, Iterator, Sequence

from bridge.outbox import schema as sql

Value = int | str | bytes | None
Change = tuple[str, Sequence[Value]]
"""A statement of ``bridge.outbox.schema`` and its parameters."""

SIZES = (32, 8)
"""Rows in one statement, largest first; the rest goes one by one. More sizes fill the cache of prepared statements, and
a larger one takes longer to prepare than it saves."""


def _places(form: str, places: str) -> dict[int, str]:
    return {size: form.format(values=",".join([places] * size)) for size in SIZES}


_INSERT = _places(sql.INSERT_ROW.replace(sql.ROW_PLACES, "{values}"), sql.ROW_PLACES)
_MANY = {
    **{
        single: _places(many, "(?,?,?)")
        for single, many in zip((*sql.ACK, *sql.SET_STATE), (*sql.ACK_MANY, *sql.SET_STATE_MANY), strict=True)
    },
    sql.SET_SEQUENCE: _places(sql.SET_SEQUENCE.replace("(?,?,?,?)", "{values}"), "(?,?,?,?)"),
}
_KEY = {statement: 0 if statement == sql.SET_SEQUENCE else -1 for statement in _MANY}
"""Which of the parameters names the row."""


def join_rows(rows: Iterable[Sequence[Value]]) -> Iterator[Change]:
    """Insert rows, in order."""
    yield from _joined(sql.INSERT_ROW, list(rows), _INSERT)


def join_changes(changes: Iterable[Change]) -> Iterator[Change]:
    """Put changes of one kind that follow each other into common statements; the rest stays as it is, in its place."""
    run: list[Sequence[Value]] = []
    of = ""
    named: set[Value] = set()
    for statement, values in changes:
        # The same row twice in one statement would be changed once.
        if run and (statement != of or values[_KEY[of]] in named):
            yield from _joined(of, run, _MANY[of])
            run, named = [], set()
        if statement in _MANY:
            of = statement
            run.append(values)
            named.add(values[_KEY[of]])
        else:
            yield statement, values
    if run:
        yield from _joined(of, run, _MANY[of])


def _joined(single: str, rows: list[Sequence[Value]], many: dict[int, str]) -> Iterator[Change]:
    at = 0
    for size in SIZES:
        while len(rows) - at >= size:
            yield many[size], [value for row in rows[at : at + size] for value in row]
            at += size
    for row in rows[at:]:
        yield single, row
