-- A statement that puts no event into the outbox wakes no relay.
CREATE OR REPLACE FUNCTION outbox_wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted WHERE exchange IS DISTINCT FROM 'manman') THEN
        PERFORM pg_notify('manman_outbox', '');
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER outbox_wakes ON outbox;
CREATE TRIGGER outbox_wakes AFTER INSERT ON outbox REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_wake();
