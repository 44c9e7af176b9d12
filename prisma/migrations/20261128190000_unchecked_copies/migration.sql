-- An event's project is its subject's, and a delivery's is its event's: copies, read from there by the statement that writes them. To
-- look each up once more cost 12 of the 120 microseconds that Postgres takes for an accepted generation, and as much for every event and
-- delivery after it. Subjects, events and the projects of subjects are checked as before.
--
-- Dropping a foreign key locks both of its tables, in the midst of which other processes go on working: all locks at once or none,
-- and nobody waits for long behind this.
DO $$
BEGIN
  FOR attempt IN 1..300 LOOP
    BEGIN
      PERFORM set_config('lock_timeout', '200ms', true);
      ALTER TABLE "events" DROP CONSTRAINT "events_project_id_fkey";
      ALTER TABLE "deliveries" DROP CONSTRAINT "deliveries_project_id_fkey";
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(random() * 0.4);
    END;
  END LOOP;
  RAISE EXCEPTION 'events and deliveries were in use for minutes: start again when less goes on';
END $$;
