CREATE TABLE IF NOT EXISTS stock (
	sku     TEXT    PRIMARY KEY,
	initial INTEGER NOT NULL,
	on_hand INTEGER NOT NULL CHECK (on_hand >= 0)
) STRICT;

INSERT OR IGNORE INTO stock (sku, initial, on_hand) VALUES
	('chair', 100000, 100000),
	('desk',  100000, 100000),
	('lamp',  100000, 100000),
	('shelf', 100000, 100000),
	('globe',      3,      3); -- the last ones

-- Goods set aside (negative) and put back (positive), by which idempotency key;
-- only ever added to.
CREATE TABLE IF NOT EXISTS ledger (
	id       INTEGER PRIMARY KEY,
	key      TEXT    NOT NULL,
	order_id TEXT    NOT NULL,
	sku      TEXT    NOT NULL REFERENCES stock (sku),
	quantity INTEGER NOT NULL,
	at       TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
