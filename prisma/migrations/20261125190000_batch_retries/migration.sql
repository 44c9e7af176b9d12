-- AlterTable
ALTER TABLE "batches" ADD COLUMN     "parent_id" TEXT;

-- AlterTable
ALTER TABLE "generations" ADD COLUMN     "retry_of" TEXT;

-- A failed generation is taken by one child batch only.
CREATE UNIQUE INDEX "generations_retry_of_key" ON "generations"("retry_of") WHERE "retry_of" IS NOT NULL;
