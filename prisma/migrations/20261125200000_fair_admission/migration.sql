-- AlterTable
ALTER TABLE "projects" ADD COLUMN     "max_in_flight" INTEGER,
ADD COLUMN     "paused_at" TIMESTAMPTZ(3);

-- CreateTable
CREATE TABLE "admissions" (
    "project_id" TEXT NOT NULL,
    "minute" TIMESTAMPTZ(3) NOT NULL,
    "count" INTEGER NOT NULL,

    CONSTRAINT "admissions_pkey" PRIMARY KEY ("project_id","minute")
);

-- CreateTable
CREATE TABLE "upstream_gates" (
    "upstream" TEXT NOT NULL,
    "paused_at" TIMESTAMPTZ(3),
    "account_retry_at" TIMESTAMPTZ(3),
    "account_refusal" TEXT,
    "hold_until" TIMESTAMPTZ(3),
    "silences" INTEGER NOT NULL DEFAULT 0,
    "unreachable_since" TIMESTAMPTZ(3),
    "requests" DOUBLE PRECISION,
    "requests_at" TIMESTAMPTZ(3),

    CONSTRAINT "upstream_gates_pkey" PRIMARY KEY ("upstream")
);

-- AddForeignKey
ALTER TABLE "admissions" ADD CONSTRAINT "admissions_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- admit goes by project and model, and counts the slots of each.
DROP INDEX "generations_backlog_idx";
CREATE INDEX "generations_backlog_idx" ON "generations"("project_id", "model", "priority" DESC, "id") WHERE "status" = 'queued' AND "admitted_at" IS NULL;
DROP INDEX "generations_slots_idx";
CREATE INDEX "generations_slots_idx" ON "generations"("project_id", "model") WHERE "admitted_at" IS NOT NULL AND "status" IN ('queued', 'submitting', 'processing');
