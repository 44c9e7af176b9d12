-- AlterTable
ALTER TABLE "upstream_gates" ADD COLUMN     "paused_reason" TEXT;

-- CreateTable
CREATE TABLE "ledgers" (
    "one" INTEGER NOT NULL DEFAULT 1,
    "id" TEXT,
    "alive_at" TIMESTAMPTZ(3),
    "stopped_at" TIMESTAMPTZ(3),
    "identity" JSONB,
    "probed_at" TIMESTAMPTZ(3),

    CONSTRAINT "ledgers_pkey" PRIMARY KEY ("one")
);

INSERT INTO "ledgers" ("one") VALUES (1);
