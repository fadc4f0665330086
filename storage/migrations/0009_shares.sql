-- One row per QR code that was shown: the second guard of its single use, and what became of it.
-- The reference itself is not here, only the hash that names it among the expiring values.
CREATE TABLE shares (
	id           text PRIMARY KEY,
	account_id   text NOT NULL,
	client_id    text NOT NULL,
	purpose      text NOT NULL,
	consent_id   text NOT NULL,
	session_id   text NOT NULL,
	ref_key      text NOT NULL UNIQUE,
	created_at   timestamptz NOT NULL,
	expires_at   timestamptz NOT NULL,
	redeemed_at  timestamptz,
	cancelled_at timestamptz,
	CHECK (redeemed_at IS NULL OR cancelled_at IS NULL)
);
-- A holder has one open code at most; a new one cancels it.
CREATE UNIQUE INDEX shares_open ON shares (account_id) WHERE redeemed_at IS NULL AND cancelled_at IS NULL;
-- A consent given for one sharing is good for one redemption.
CREATE UNIQUE INDEX shares_consent ON shares (consent_id) WHERE cancelled_at IS NULL;
CREATE INDEX shares_holder ON shares (account_id, created_at);
