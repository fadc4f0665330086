-- What the tokens of a family are bound to (cnf of RFC 7800), the resource they are for (RFC 8707)
-- and the authorization details they carry (RFC 9396).
ALTER TABLE refresh_families ADD COLUMN confirm text NOT NULL DEFAULT '';
ALTER TABLE refresh_families ADD COLUMN resource text NOT NULL DEFAULT '';
ALTER TABLE refresh_families ADD COLUMN details text NOT NULL DEFAULT '';
