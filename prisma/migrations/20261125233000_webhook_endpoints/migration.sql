-- AlterTable
ALTER TABLE "webhook_endpoints" ADD COLUMN     "deleted_at" TIMESTAMPTZ(3),
ADD COLUMN     "event_seq" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "failing_since" TIMESTAMPTZ(3),
ADD COLUMN     "previous_secret" TEXT,
ADD COLUMN     "previous_secret_until" TIMESTAMPTZ(3);

-- The part of a URL that one server answers for; a URL carries no credentials.
ALTER TABLE "deliveries" ADD COLUMN "origin" TEXT NOT NULL GENERATED ALWAYS AS (lower(coalesce(substring("url" from '^[^:]+://[^/?#]+'), ''))) STORED,
ADD COLUMN "attempts_before" INTEGER NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "events" ADD COLUMN     "endpoint_id" TEXT;

-- AddForeignKey
ALTER TABLE "events" ADD CONSTRAINT "events_endpoint_id_fkey" FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "events" DROP CONSTRAINT "events_one_subject";
ALTER TABLE "events" ADD CONSTRAINT "events_one_subject" CHECK (num_nonnulls("generation_id", "batch_id", "endpoint_id") = 1);
CREATE UNIQUE INDEX "events_endpoint_id_sequence_key" ON "events"("endpoint_id", "sequence") WHERE "endpoint_id" IS NOT NULL;

CREATE INDEX "deliveries_target_idx" ON "deliveries"("origin", "next_attempt_at") WHERE "state" = 'pending';
CREATE INDEX "deliveries_unsuccessful_idx" ON "deliveries"("project_id", "state", "id") WHERE "state" <> 'succeeded';
CREATE INDEX "deliveries_endpoint_idx" ON "deliveries"("endpoint_id", "id") WHERE "endpoint_id" IS NOT NULL;
CREATE INDEX "deliveries_endpoint_pending_idx" ON "deliveries"("endpoint_id") WHERE "state" = 'pending' AND "endpoint_id" IS NOT NULL;
