-- AlterTable
ALTER TABLE "upstream_gates" ADD COLUMN     "refusal_class" TEXT,
ADD COLUMN     "refusal_closings" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "refusal_key" TEXT,
ADD COLUMN     "refusals" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "refusals_from" TEXT,
ADD COLUMN     "refused_project_id" TEXT;
