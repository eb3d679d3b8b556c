"""Tables and statements of the outbox on disk.

::

    row       one message each, in the order of submission; ``state_0`` and ``state_1`` are its delivery to each broker
    sequence  last number given in each stream, so that streams go on over a restart
    kept      what parts of the bridge want to know after a restart
    meta      facts about the file itself

A query that must be fast with a million rows names its index, and the condition of a partial one word by word: SQLite
refuses it else, instead of going through the table.
"""

SCHEMA_VERSION = 1
"""In ``PRAGMA user_version``. Raised when an older program could no longer read the tables."""

APPLICATION_ID = 0x74616772
"""``tagr``, in ``PRAGMA application_id``: keeps us from writing into somebody else's database."""

LARGEST = 2**63 - 1
"""Largest whole number that SQLite holds; what peers ask for may be larger."""

NEW = 0
"""To be sent."""
ACKED = 1
"""The broker took it."""
RECEIPTED = 2
"""The broker took it, and the provider said that it has it."""
REJECTED = 3
"""The broker refused it; it is tried again."""
DROPPED = 4
"""A position that is not sent any more: too many waited, it was refused, or it is too long."""
DAMAGED = 5
"""It cannot be read back, or not be put into a packet: kept as evidence, never sent, never deleted."""
NOT_WANTED = 9
"""There is no such path."""

STATES = frozenset({NEW, ACKED, RECEIPTED, REJECTED, DROPPED, DAMAGED, NOT_WANTED})

SET_ASIDE_RECEIPT = 3
"""No receipt is waited for, for the row cannot be read back; that was told."""

RECEIPTS = frozenset({0, 1, 2})
"""Not received, received, rejected by the provider."""

CREATE = """
CREATE TABLE row(
  number INTEGER PRIMARY KEY,
  lane INTEGER NOT NULL,
  owner TEXT NOT NULL,
  topic TEXT NOT NULL,
  source TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  body BLOB NOT NULL,
  retain INTEGER NOT NULL,
  expiry_s INTEGER,
  properties TEXT NOT NULL,
  alert_type TEXT,
  state_0 INTEGER NOT NULL,
  state_1 INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  t_utc_ns INTEGER NOT NULL,
  acked_utc_ns INTEGER,
  receipt INTEGER NOT NULL DEFAULT 0,
  receipt_utc_ns INTEGER
);
CREATE INDEX wait_0 ON row(lane, number) WHERE state_0 IN (0, 3);
CREATE INDEX wait_1 ON row(lane, number) WHERE state_1 IN (0, 3);
CREATE INDEX wait_topic_0 ON row(topic, number) WHERE lane = 0 AND state_0 IN (0, 3);
CREATE INDEX wait_topic_1 ON row(topic, number) WHERE lane = 0 AND state_1 IN (0, 3);
CREATE INDEX by_source ON row(source, sequence);
CREATE INDEX owed ON row(acked_utc_ns, number) WHERE lane = 0 AND receipt = 0 AND acked_utc_ns IS NOT NULL;
CREATE INDEX owed_by_source ON row(source, sequence) WHERE lane = 0 AND receipt = 0;
CREATE TABLE sequence(source TEXT PRIMARY KEY, owner TEXT NOT NULL, last INTEGER NOT NULL, lane INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE kept(owner TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(owner, key)) WITHOUT ROWID;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

COLUMNS = (
    "number, lane, owner, topic, source, sequence, event_id, body, retain, expiry_s, properties, alert_type, "
    "state_0, state_1, attempts, t_utc_ns, acked_utc_ns, receipt, receipt_utc_ns"
)

# OR IGNORE: after a failed sync a row may be there, or not, and is written once more.
ROW_PLACES = "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
INSERT_ROW = f"INSERT OR IGNORE INTO row({COLUMNS}) VALUES{ROW_PLACES}"
SET_SEQUENCE = (
    "INSERT INTO sequence(source, owner, last, lane) VALUES(?,?,?,?) "
    "ON CONFLICT(source) DO UPDATE SET last = max(last, excluded.last), owner = excluded.owner"
)
SET_KEPT = "INSERT OR REPLACE INTO kept(owner, key, value) VALUES(?,?,?)"
DELETE_KEPT = "DELETE FROM kept WHERE owner = ? AND key = ?"
FIND_META = "SELECT value FROM meta WHERE name = ?"
SET_META = "INSERT OR REPLACE INTO meta(name, value) VALUES(?,?)"

ACK = tuple(
    f"UPDATE row SET state_{path} = CASE receipt WHEN 0 THEN {ACKED} ELSE {RECEIPTED} END, "
    "attempts = max(attempts, ?), acked_utc_ns = coalesce(acked_utc_ns, ?) WHERE number = ?"
    for path in (0, 1)
)
ACK_MANY = tuple(
    f"UPDATE row SET state_{path} = CASE receipt WHEN 0 THEN {ACKED} ELSE {RECEIPTED} END, "
    "attempts = max(attempts, fresh.column1), acked_utc_ns = coalesce(acked_utc_ns, fresh.column2) "
    "FROM (VALUES {values}) AS fresh WHERE row.number = fresh.column3"
    for path in (0, 1)
)
SET_STATE = tuple(f"UPDATE row SET state_{path} = ?, attempts = max(attempts, ?) WHERE number = ?" for path in (0, 1))
SET_STATE_MANY = tuple(
    f"UPDATE row SET state_{path} = fresh.column1, attempts = max(attempts, fresh.column2) "
    "FROM (VALUES {values}) AS fresh WHERE row.number = fresh.column3"
    for path in (0, 1)
)

SET_ASIDE = f"UPDATE row SET receipt = {SET_ASIDE_RECEIPT} WHERE number = ?"

_RECEIPT = (
    "UPDATE row {index} SET receipt = ?, receipt_utc_ns = ?, state_0 = CASE state_0 WHEN 1 THEN 2 ELSE state_0 END, "
    "state_1 = CASE state_1 WHEN 1 THEN 2 ELSE state_1 END "
)
_BY_SOURCE = _RECEIPT.format(index="INDEXED BY owed_by_source")
RECEIPT_UPTO = (
    f"{_BY_SOURCE} WHERE lane = 0 AND receipt = 0 AND source = ? AND sequence <= ? AND acked_utc_ns IS NOT NULL "
    "RETURNING number"
)
RECEIPT_OF_ID = (
    f"{_BY_SOURCE} WHERE lane = 0 AND receipt = 0 AND source = ? AND event_id = ? AND acked_utc_ns IS NOT NULL "
    "RETURNING number"
)
RECEIPT_OF_NUMBER = f"{_RECEIPT.format(index='')} WHERE number = ? AND lane = 0 AND receipt = 0 RETURNING number"

LOAD_LANE = tuple(
    f"SELECT {COLUMNS} FROM row INDEXED BY wait_{path} WHERE lane = ? AND state_{path} IN (0, 3) AND number >= ? "
    "ORDER BY number"
    for path in (0, 1)
)
LOAD_TOPIC = tuple(
    f"SELECT {COLUMNS} FROM row INDEXED BY wait_topic_{path} "
    f"WHERE lane = 0 AND state_{path} IN (0, 3) AND topic = ? AND number >= ? ORDER BY number"
    for path in (0, 1)
)
FIRST_OF_TOPIC = tuple(
    f"SELECT number FROM row INDEXED BY wait_topic_{path} "
    f"WHERE lane = 0 AND state_{path} IN (0, 3) AND topic = ? ORDER BY number LIMIT 1"
    for path in (0, 1)
)
NEXT_TOPIC = tuple(
    f"SELECT topic FROM row INDEXED BY wait_topic_{path} "
    f"WHERE lane = 0 AND state_{path} IN (0, 3) AND topic > ? ORDER BY topic LIMIT 1"
    for path in (0, 1)
)
NUMBER_OF_NEXT_TOPIC = tuple(statement.replace("SELECT topic", "SELECT number") for statement in NEXT_TOPIC)
FIND_ASTRAY = tuple(
    " UNION ALL ".join(
        f"SELECT number FROM row INDEXED BY {index}_{path} WHERE {condition} AND state_{path} IN (0, 3)"
        for index, condition in (
            ("wait", "lane < 0"),
            ("wait", "lane > 0 AND lane < 2"),
            ("wait", "lane > 2"),
            ("wait_topic", "lane = 0 AND topic <= ''"),
        )
    )
    for path in (0, 1)
)
"""What waits where nobody looks: in no lane, or without a topic."""
COUNT_LANE = tuple(
    f"SELECT count(*) FROM row INDEXED BY wait_{path} WHERE lane = ? AND state_{path} IN (0, 3)" for path in (0, 1)
)
SOURCE_OF = "SELECT CAST(source AS BLOB) FROM row WHERE number = ?"
RECEIPT_OF = "SELECT CAST(receipt AS INTEGER) FROM row WHERE number = ?"
LOAD_NUMBER = f"SELECT {COLUMNS} FROM row WHERE number = ?"
LOAD_SEQUENCES = (
    f"SELECT {COLUMNS} FROM row INDEXED BY by_source WHERE source = ? AND sequence >= ? AND sequence <= ? "
    "ORDER BY sequence"
)
LOAD_OWED = (
    "SELECT acked_utc_ns, number FROM row INDEXED BY owed WHERE lane = 0 AND receipt = 0 AND acked_utc_ns IS NOT NULL "
    "AND (acked_utc_ns, number) > (?, ?) ORDER BY acked_utc_ns, number LIMIT ?"
)
RECENTLY_ACKED = (
    "SELECT number FROM row INDEXED BY owed WHERE lane = 0 AND receipt = 0 AND acked_utc_ns IS NOT NULL "
    "AND acked_utc_ns >= ? ORDER BY acked_utc_ns DESC LIMIT ?"
)
COUNT_OWED = (
    "SELECT count(*), min(acked_utc_ns) FROM (SELECT acked_utc_ns FROM row INDEXED BY owed "
    "WHERE lane = 0 AND receipt = 0 AND acked_utc_ns IS NOT NULL ORDER BY acked_utc_ns LIMIT ?)"
)
NEWEST = "SELECT number, t_utc_ns FROM row WHERE number > 0 ORDER BY number DESC LIMIT 1"
OLDEST = "SELECT number, state_0, state_1, t_utc_ns, receipt FROM row WHERE number >= ? ORDER BY number LIMIT ?"
DELETE_ROW = "DELETE FROM row WHERE number = ?"
