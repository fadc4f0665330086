-- Signing keys. The private part is sealed under the root key and erased on retirement; the public
-- part stays for ever, so that evidence can be verified.
CREATE TABLE signing_keys (
	id         text PRIMARY KEY,
	use_for    text NOT NULL,
	alg        text NOT NULL,
	generation bigint NOT NULL CHECK (generation > 0),
	public     bytea NOT NULL,
	sealed     bytea,
	created_at timestamptz NOT NULL,
	signs_from timestamptz NOT NULL,
	retired_at timestamptz,
	UNIQUE (use_for, alg, generation),
	CHECK ((sealed IS NULL) = (retired_at IS NOT NULL))
);
