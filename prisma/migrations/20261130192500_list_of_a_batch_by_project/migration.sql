-- Pages of a batch by status must not take the index that serves the list of a batch: the index has no status, so each
-- page would read the whole batch. The list names the project too, the pages do not.
CREATE INDEX "generations_project_batch_idx" ON "generations"("project_id", "batch_id", "id") WHERE "batch_id" IS NOT NULL;
DROP INDEX "generations_batch_idx";
