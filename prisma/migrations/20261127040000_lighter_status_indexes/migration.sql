-- Every move of a generation wrote into an index over all statuses: a sixth of what Postgres spends on it. A generation ends once,
-- and is queued once; of those in between there are never more than slots, which an index of their own lists.
DROP INDEX "generations_project_id_status_id_idx";
CREATE INDEX "generations_ended_idx" ON "generations"("project_id", "status", "id") WHERE "status" IN ('completed', 'failed', 'cancelled');
CREATE INDEX "generations_queued_idx" ON "generations"("project_id", "id") WHERE "status" = 'queued';
