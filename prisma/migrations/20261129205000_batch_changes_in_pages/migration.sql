-- Columns without a default, or with a constant one: no row is rewritten.
--
-- A batch that is being inserted holds both tables for as long as it takes, and whoever comes behind a lock that waits for it waits too:
-- all locks at once or none, and nobody waits for long behind this.
DO $$
BEGIN
  FOR attempt IN 1..300 LOOP
    BEGIN
      PERFORM set_config('lock_timeout', '200ms', true);

      -- AlterTable
      ALTER TABLE "batches" ADD COLUMN     "cancel_rendering" BOOLEAN NOT NULL DEFAULT false,
      ADD COLUMN     "cancel_requested_at" TIMESTAMPTZ(3),
      ADD COLUMN     "change_until" TIMESTAMPTZ(3),
      ADD COLUMN     "wanted_priority" INTEGER;

      -- The few batches that are being changed: asked by every admission, every beginning of a submission, and reconcile.
      CREATE INDEX "batches_changing_idx" ON "batches"("id") WHERE "cancel_requested_at" IS NOT NULL OR "wanted_priority" IS NOT NULL;

      -- Where more projects wait than admission compares: whose turn is next.
      CREATE INDEX "projects_turn_idx" ON "projects"("last_admitted_at" NULLS FIRST, "id") WHERE "paused_at" IS NULL;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(random() * 0.4);
    END;
  END LOOP;
  RAISE EXCEPTION 'batches and projects were in use for minutes: start again when less goes on';
END $$;
