-- Operators list failures by their code, over all projects. The condition does not name the status: the list of the failed
-- generations of a project would otherwise take this index, and sort all failures.
CREATE INDEX "generations_error_code_idx" ON "generations"("error_code", "id") WHERE "error_code" IS NOT NULL;
