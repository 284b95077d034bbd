CREATE TABLE IF NOT EXISTS orders (
	number      INTEGER PRIMARY KEY,
	order_id    TEXT    NOT NULL UNIQUE,
	scenario    TEXT    NOT NULL,
	customer    TEXT    NOT NULL,
	total_cents INTEGER NOT NULL,
	status      TEXT    NOT NULL CHECK (status IN ('open', 'confirmed', 'cancelled')),
	receipt     TEXT    NOT NULL DEFAULT '',
	tracking    TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE IF NOT EXISTS line (
	order_id TEXT    NOT NULL REFERENCES orders (order_id),
	sku      TEXT    NOT NULL,
	quantity INTEGER NOT NULL
) STRICT;

-- What was done, by which idempotency key; only ever added to.
CREATE TABLE IF NOT EXISTS ledger (
	id       INTEGER PRIMARY KEY,
	key      TEXT NOT NULL,
	order_id TEXT NOT NULL,
	status   TEXT NOT NULL,
	at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
