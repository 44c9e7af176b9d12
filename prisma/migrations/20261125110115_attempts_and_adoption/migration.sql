-- AlterTable
ALTER TABLE "generations" ADD COLUMN     "attempt" INTEGER NOT NULL DEFAULT 1,
ADD COLUMN     "may_be_charged" BOOLEAN NOT NULL DEFAULT false;

-- AlterTable
ALTER TABLE "submissions" ADD COLUMN     "adopted_at" TIMESTAMPTZ(3),
ADD COLUMN     "attempt" INTEGER NOT NULL DEFAULT 1;

-- What was submitted before counts too.
UPDATE "generations" SET "may_be_charged" = true
  WHERE "upstream_task_id" IS NOT NULL OR "slot_until" IS NOT NULL OR "error_code" = 'submission_unknown';
