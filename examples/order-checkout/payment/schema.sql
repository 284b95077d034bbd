CREATE TABLE IF NOT EXISTS account (
	card    TEXT    PRIMARY KEY,
	initial INTEGER NOT NULL,                     -- cents
	balance INTEGER NOT NULL CHECK (balance >= 0) -- cents
) STRICT;

INSERT OR IGNORE INTO account (card, initial, balance) VALUES
	('visa-ada',    1000000000, 1000000000),
	('visa-grace',  1000000000, 1000000000),
	('visa-edsger', 1000000000, 1000000000),
	('visa-empty',         500,        500),
	('test-slow',   1000000000, 1000000000), -- cards that provoke faults; see package fault
	('test-late',   1000000000, 1000000000),
	('test-crash',  1000000000, 1000000000),
	('test-twice',  1000000000, 1000000000);

-- Money taken (positive) and given back (negative), by which idempotency key;
-- only ever added to.
CREATE TABLE IF NOT EXISTS ledger (
	id       INTEGER PRIMARY KEY,
	key      TEXT    NOT NULL,
	order_id TEXT    NOT NULL,
	card     TEXT    NOT NULL REFERENCES account (card),
	cents    INTEGER NOT NULL,
	text     TEXT    NOT NULL,
	at       TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
