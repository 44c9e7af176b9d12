-- AlterTable
ALTER TABLE "projects" ADD COLUMN     "last_admitted_at" TIMESTAMPTZ(3);
