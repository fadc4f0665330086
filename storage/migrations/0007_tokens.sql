-- Codes that were redeemed: the unique key is the second guard of their single use, and how a
-- late replay is recognised.
CREATE TABLE spent_codes (
	code_hash text PRIMARY KEY,
	family_id text NOT NULL,
	spent_at  timestamptz NOT NULL
);
CREATE INDEX spent_codes_at ON spent_codes (spent_at);

-- One row per grant with refresh tokens. The token itself is not here: it is a MAC over family and
-- generation, and only the newest generation (or the one before, for a moment) is accepted.
CREATE TABLE refresh_families (
	id         text PRIMARY KEY,
	client_id  text NOT NULL,
	account_id text NOT NULL,
	consent_id text NOT NULL,
	purpose    text NOT NULL,
	scopes     text NOT NULL,
	claims     text NOT NULL,
	acr        text NOT NULL,
	strength   integer NOT NULL,
	amr        text NOT NULL,
	auth_at    timestamptz NOT NULL,
	generation bigint NOT NULL,
	rotated_at timestamptz NOT NULL,
	created_at timestamptz NOT NULL,
	idle_until timestamptz NOT NULL,
	ends_at    timestamptz NOT NULL
);
CREATE INDEX refresh_families_idle ON refresh_families (idle_until);

-- A refresh asks whether its family was ended by any cause since it began.
CREATE INDEX ends_account ON ends (account_id) WHERE account_id <> '';
CREATE INDEX ends_consent ON ends (consent_id) WHERE consent_id <> '';
CREATE INDEX ends_family ON ends (family_id) WHERE family_id <> '';
