-- AlterTable
ALTER TABLE "projects" ADD COLUMN     "previous_secrets" JSONB NOT NULL DEFAULT '[]';

-- AlterTable
ALTER TABLE "webhook_endpoints" ADD COLUMN     "deleted_at" TIMESTAMPTZ(3),
ADD COLUMN     "event_seq" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "failing_since" TIMESTAMPTZ(3),
ADD COLUMN     "previous_secrets" JSONB NOT NULL DEFAULT '[]';
-- Two with one URL would be one delivery, signed for one of them.
CREATE UNIQUE INDEX "webhook_endpoints_url_key" ON "webhook_endpoints"("project_id", "url") WHERE "deleted_at" IS NULL;

-- AlterTable
ALTER TABLE "deliveries" ADD COLUMN     "attempts_before" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "pending_since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
-- The project, and the part of the URL that one server answers for; a URL carries no credentials.
ADD COLUMN     "target" TEXT NOT NULL GENERATED ALWAYS AS ("project_id" || ' ' || lower(coalesce(substring("url" from '^[^:]+://[^/?#]+'), ''))) STORED;

-- AlterTable
ALTER TABLE "events" ADD COLUMN     "endpoint_id" TEXT;

-- AddForeignKey
ALTER TABLE "events" ADD CONSTRAINT "events_endpoint_id_fkey" FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "events" DROP CONSTRAINT "events_one_subject";
ALTER TABLE "events" ADD CONSTRAINT "events_one_subject" CHECK (num_nonnulls("generation_id", "batch_id", "endpoint_id") = 1);
CREATE UNIQUE INDEX "events_endpoint_id_sequence_key" ON "events"("endpoint_id", "sequence") WHERE "endpoint_id" IS NOT NULL;

CREATE INDEX "deliveries_target_idx" ON "deliveries"("target", "next_attempt_at") WHERE "state" = 'pending';
CREATE INDEX "deliveries_unsuccessful_idx" ON "deliveries"("project_id", "state", "id") WHERE "state" <> 'succeeded';
CREATE INDEX "deliveries_endpoint_idx" ON "deliveries"("endpoint_id", "id") WHERE "endpoint_id" IS NOT NULL;
CREATE INDEX "deliveries_endpoint_pending_idx" ON "deliveries"("endpoint_id") WHERE "state" = 'pending' AND "endpoint_id" IS NOT NULL;
CREATE INDEX "batches_parent_id_idx" ON "batches"("parent_id", "id") WHERE "parent_id" IS NOT NULL;

-- Of the new columns nothing is known yet: without it, the first looks for an endpoint's events would read all of them.
ANALYZE "events";
ANALYZE "deliveries";
