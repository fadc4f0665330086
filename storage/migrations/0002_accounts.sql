-- Accounts are the holders. The number is the name they sign in with; it stands in clear here and
-- nowhere else (Redis and logs only ever see an HMAC of it).
CREATE TABLE accounts (
	id              text PRIMARY KEY,
	kind            text NOT NULL CHECK (kind IN ('citizen', 'foreigner')),
	number          text NOT NULL UNIQUE,
	name            text NOT NULL,
	level           integer NOT NULL CHECK (level BETWEEN 0 AND 2),
	state           text NOT NULL CHECK (state IN ('app', 'pending', 'approved', 'active', 'locked')),
	lock_reason     text NOT NULL,
	lock_at         timestamptz,
	phone           text NOT NULL,
	email           text NOT NULL,
	email_verified  boolean NOT NULL,
	locale          text NOT NULL,
	card_expires    timestamptz,
	renewal_pending boolean NOT NULL,
	proved_at       timestamptz,
	papers          text NOT NULL,
	roles           text NOT NULL,
	created_at      timestamptz NOT NULL,
	updated_at      timestamptz NOT NULL,
	CHECK (state <> 'locked' OR lock_reason <> '')
);

-- Secrets of the holders: an argon2id string, and the verifier of the passcode with its salt.
CREATE TABLE credentials (
	account_id  text PRIMARY KEY REFERENCES accounts (id),
	password    text NOT NULL,
	password_at timestamptz NOT NULL,
	passcode    bytea,
	salt        bytea
);
