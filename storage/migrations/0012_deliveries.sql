-- Which relying parties got an ID token in a session and want to hear of its end. A row leaves when
-- its delivery is queued; its id becomes that of the delivery, so that a session which two causes
-- end at once is announced once.
CREATE TABLE session_clients (
	id         text PRIMARY KEY,
	session_id text NOT NULL,
	client_id  text NOT NULL,
	account_id text NOT NULL,
	joined_at  timestamptz NOT NULL,
	UNIQUE (session_id, client_id)
);
CREATE INDEX session_clients_account ON session_clients (account_id, client_id);
CREATE INDEX session_clients_joined ON session_clients (joined_at);

-- Logout tokens to be sent. due_at is when somebody may try (again): whoever takes a row moves it
-- past the time that a try takes. tries counts the takings and tells a late one from the newest.
CREATE TABLE deliveries (
	id         text PRIMARY KEY,
	client_id  text NOT NULL,
	account_id text NOT NULL,
	session_id text NOT NULL,
	queued_at  timestamptz NOT NULL,
	due_at     timestamptz NOT NULL,
	tries      integer NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (due_at);
