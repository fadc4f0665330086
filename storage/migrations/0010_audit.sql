-- What the sealer looks for.
CREATE INDEX audit_rows_unsealed ON audit_rows (id) WHERE seq IS NULL;
