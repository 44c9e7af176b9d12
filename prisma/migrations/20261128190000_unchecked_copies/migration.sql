-- An event's project is its subject's, and a delivery's is its event's: copies, written beside the reading of the original.
-- To look each up once more cost 12 of the 120 microseconds that Postgres takes for an accepted generation, and as much for every event
-- and delivery after it. Subjects, events and the projects of subjects are checked as before.
ALTER TABLE "events" DROP CONSTRAINT "events_project_id_fkey";
ALTER TABLE "deliveries" DROP CONSTRAINT "deliveries_project_id_fkey";
