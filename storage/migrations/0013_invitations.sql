-- Invitations let services register themselves (RFC 7591). The token is not here, only its hash. The
-- record is the JSON of client.Template: what the client cannot decide. A row stays for as long as
-- clients are held to it when they change themselves.
CREATE TABLE invitations (
	id            text PRIMARY KEY,
	token_hash    text NOT NULL UNIQUE,
	given_to      text NOT NULL,
	record        text NOT NULL,
	registrations integer NOT NULL,
	used          integer NOT NULL,
	created_at    timestamptz NOT NULL,
	expires_at    timestamptz NOT NULL,
	revoked_at    timestamptz,
	CHECK (used BETWEEN 0 AND registrations)
);
