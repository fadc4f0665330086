-- Wrong tries, counted under an HMAC of the number whether an account exists or not. scope is
-- empty for unknown browsers, else the known browser that has a budget of its own.
CREATE TABLE tries (
	who     text NOT NULL,
	kind    text NOT NULL,
	scope   text NOT NULL,
	streak  integer NOT NULL,
	recent  integer NOT NULL,
	last_at timestamptz NOT NULL,
	open_at timestamptz NOT NULL,
	PRIMARY KEY (who, kind, scope)
);

-- How many SMS codes were sent to whom today, and when the last one was.
CREATE TABLE sms_budgets (
	who     text PRIMARY KEY,
	since   timestamptz NOT NULL,
	sent    integer NOT NULL,
	last_at timestamptz NOT NULL
);

-- The one SMS code of a session that counts; a newer one replaces it.
CREATE TABLE sms_codes (
	sid        text PRIMARY KEY,
	account_id text NOT NULL REFERENCES accounts (id),
	mac        text NOT NULL,
	sent_at    timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	used_at    timestamptz
);

-- One row per sign-in: what the holder sees in the list, and what "this was not me" refers to.
CREATE TABLE sign_ins (
	sid         text PRIMARY KEY,
	account_id  text NOT NULL REFERENCES accounts (id),
	browser     text NOT NULL,
	label       text NOT NULL,
	network     text NOT NULL,
	new_browser boolean NOT NULL,
	started_at  timestamptz NOT NULL,
	acr         integer NOT NULL,
	alarm       text UNIQUE,
	ended_at    timestamptz
);
CREATE INDEX sign_ins_account ON sign_ins (account_id, started_at);

-- Browsers in which the holder has signed in before; proved_at is set once with two factors.
CREATE TABLE known_browsers (
	account_id text NOT NULL REFERENCES accounts (id),
	browser    text NOT NULL,
	first_at   timestamptz NOT NULL,
	last_at    timestamptz NOT NULL,
	proved_at  timestamptz,
	PRIMARY KEY (account_id, browser)
);
