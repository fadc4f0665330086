-- Audit rows are written in the transaction of what they tell; the sealer fills seq, prev and hash.
CREATE TABLE audit_rows (
	id         bigserial PRIMARY KEY,
	at         timestamptz NOT NULL,
	action     text NOT NULL,
	actor      text NOT NULL,
	account_id text NOT NULL,
	client_id  text NOT NULL,
	request    text NOT NULL,
	address    text NOT NULL,
	detail     text NOT NULL,
	seq        bigint UNIQUE,
	hash       bytea
);
CREATE INDEX audit_rows_account ON audit_rows (account_id, id);

-- What was ended before its time; followed by every instance (internal/revocation).
CREATE TABLE ends (
	id         bigserial PRIMARY KEY,
	at         timestamptz NOT NULL,
	account_id text NOT NULL,
	consent_id text NOT NULL,
	session_id text NOT NULL,
	family_id  text NOT NULL
);
CREATE INDEX ends_at ON ends (at);
