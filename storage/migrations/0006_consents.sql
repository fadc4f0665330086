-- The one consent record: what a holder agreed to share with whom, for which purpose. No values.
-- agreed and declined are scopes, space-separated. replaced_at: a newer grant for the same purpose
-- took its place; what rests on the older one lives on until the purpose is withdrawn.
CREATE TABLE consents (
	id           text PRIMARY KEY,
	account_id   text NOT NULL,
	client_id    text NOT NULL,
	purpose      text NOT NULL,
	agreed       text NOT NULL,
	declined     text NOT NULL,
	given_at     timestamptz NOT NULL,
	level        integer NOT NULL,
	acr          integer NOT NULL,
	session_id   text NOT NULL,
	locale       text NOT NULL,
	text_hash    text NOT NULL,
	purposed     text NOT NULL,
	catalogue    text NOT NULL,
	passcode     boolean NOT NULL,
	share        boolean NOT NULL,
	withdrawn_at timestamptz,
	replaced_at  timestamptz,
	expires_at   timestamptz NOT NULL
);
CREATE INDEX consents_newest ON consents (account_id, client_id, given_at, id) WHERE replaced_at IS NULL AND NOT share;
CREATE INDEX consents_standing ON consents (account_id, client_id, purpose) WHERE withdrawn_at IS NULL AND NOT share;
CREATE INDEX consents_holder ON consents (account_id, given_at, id);

-- Every release and every refusal that a holder can look up. One token's repeats are counted.
CREATE TABLE consent_uses (
	id         bigserial PRIMARY KEY,
	at         timestamptz NOT NULL,
	account_id text NOT NULL,
	client_id  text NOT NULL,
	consent_id text NOT NULL,
	purpose    text NOT NULL,
	scopes     text NOT NULL,
	refused    text NOT NULL,
	token      text NOT NULL,
	count      integer NOT NULL
);
CREATE UNIQUE INDEX consent_uses_token ON consent_uses (token, consent_id, refused) WHERE token <> '';
CREATE INDEX consent_uses_holder ON consent_uses (account_id, at, id);
