-- Values that may be lost, where no Redis is configured (storage/ephemeral). tally is how often a
-- value was claimed, or what a counter has reached.
CREATE TABLE expiring (
	key        text PRIMARY KEY,
	value      bytea NOT NULL,
	tally      bigint NOT NULL,
	expires_at timestamptz NOT NULL
);
CREATE INDEX expiring_expires_at ON expiring (expires_at);
