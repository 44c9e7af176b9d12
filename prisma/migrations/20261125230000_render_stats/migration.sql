-- AlterTable
ALTER TABLE "batches" ADD COLUMN     "kinds" JSONB;

-- CreateTable
CREATE TABLE "render_stats" (
    "upstream" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "seconds" INTEGER NOT NULL,
    "size" TEXT NOT NULL,
    "clips" DOUBLE PRECISION NOT NULL,
    "render_ms" DOUBLE PRECISION NOT NULL,
    "priced" DOUBLE PRECISION NOT NULL,
    "amount" DOUBLE PRECISION NOT NULL,

    CONSTRAINT "render_stats_pkey" PRIMARY KEY ("upstream","model","seconds","size")
);

-- CreateIndex
CREATE INDEX "admissions_minute_idx" ON "admissions"("minute");

-- Most events are about a generation: they need no entry in the index of the batches' events.
DROP INDEX "events_batch_id_sequence_key";
CREATE UNIQUE INDEX "events_batch_id_sequence_key" ON "events"("batch_id", "sequence") WHERE "batch_id" IS NOT NULL;
