-- Counters that grow with every change of a subject; instances poll them to refresh their caches.
CREATE TABLE generations (
	name text PRIMARY KEY,
	n    bigint NOT NULL
);

-- Registered relying parties and verifiers. The record is the JSON of client.Client; the secrets in
-- it are hashes.
CREATE TABLE clients (
	id         text PRIMARY KEY,
	record     text NOT NULL,
	disabled   boolean NOT NULL,
	updated_at timestamptz NOT NULL
);
