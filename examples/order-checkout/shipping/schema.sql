CREATE TABLE IF NOT EXISTS carrier (
	country TEXT PRIMARY KEY,
	name    TEXT NOT NULL
) STRICT;

INSERT OR IGNORE INTO carrier (country, name) VALUES
	('Denmark',     'PostNord'),
	('Germany',     'DHL'),
	('Netherlands', 'PostNL'),
	('Portugal',    'CTT');

-- Parcels handed over, by which idempotency key; only ever added to.
CREATE TABLE IF NOT EXISTS parcel (
	id        INTEGER PRIMARY KEY,
	key       TEXT NOT NULL,
	order_id  TEXT NOT NULL,
	warehouse TEXT NOT NULL,
	carrier   TEXT NOT NULL,
	at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

CREATE TABLE IF NOT EXISTS content (
	parcel   INTEGER NOT NULL REFERENCES parcel (id),
	sku      TEXT    NOT NULL,
	quantity INTEGER NOT NULL
) STRICT;
