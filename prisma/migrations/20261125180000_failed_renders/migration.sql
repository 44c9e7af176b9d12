-- AlterTable
ALTER TABLE "submissions" ADD COLUMN     "render_failed_at" TIMESTAMPTZ(3);
