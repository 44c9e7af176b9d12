-- Columns without a default, or with a constant one: no row is rewritten.

-- AlterTable
ALTER TABLE "batches" ADD COLUMN     "cancel_rendering" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "cancel_requested_at" TIMESTAMPTZ(3),
ADD COLUMN     "change_until" TIMESTAMPTZ(3),
ADD COLUMN     "wanted_priority" INTEGER;

-- The few batches that are being changed: asked by every admission, every beginning of a submission, and reconcile.
CREATE INDEX "batches_changing_idx" ON "batches"("id") WHERE "cancel_requested_at" IS NOT NULL OR "wanted_priority" IS NOT NULL;

-- Where more projects wait than admission compares: whose turn is next.
CREATE INDEX "projects_turn_idx" ON "projects"("last_admitted_at" NULLS FIRST, "id") WHERE "paused_at" IS NULL;
