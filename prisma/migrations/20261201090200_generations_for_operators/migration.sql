-- Operators list failures by their code, over all projects.
CREATE INDEX "generations_error_code_idx" ON "generations"("error_code", "id") WHERE "status" = 'failed';
