-- The log only grows: the one change that a row sees is being sealed. Whoever owns the table can
-- still switch this off; then the chain and its checkpoints tell.
CREATE FUNCTION audit_rows_only_grow() RETURNS trigger AS $$
BEGIN
	IF TG_OP = 'UPDATE' THEN
		IF OLD.seq IS NULL AND NEW.seq IS NOT NULL AND NEW.hash IS NOT NULL
			AND (NEW.id, NEW.at, NEW.action, NEW.actor, NEW.account_id, NEW.client_id, NEW.request, NEW.address, NEW.detail)
			  = (OLD.id, OLD.at, OLD.action, OLD.actor, OLD.account_id, OLD.client_id, OLD.request, OLD.address, OLD.detail)
		THEN
			RETURN NEW;
		END IF;
	END IF;
	RAISE EXCEPTION 'audit rows are never changed or deleted' USING ERRCODE = 'insufficient_privilege';
END
$$ LANGUAGE plpgsql;

CREATE TRIGGER audit_rows_only_grow BEFORE UPDATE OR DELETE ON audit_rows
	FOR EACH ROW EXECUTE FUNCTION audit_rows_only_grow();

CREATE TRIGGER audit_rows_never_emptied BEFORE TRUNCATE ON audit_rows
	FOR EACH STATEMENT EXECUTE FUNCTION audit_rows_only_grow();
