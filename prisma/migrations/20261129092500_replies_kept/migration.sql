-- The reply of the provider to each create, and its last answer to a poll that was not simply "still rendering".
-- Null on all rows that exist: nothing is rewritten.
ALTER TABLE "submissions" ADD COLUMN "reply" JSONB;
ALTER TABLE "generations" ADD COLUMN "last_poll" JSONB;

-- CreateTable
CREATE TABLE "upstream_answers" (
    "upstream" TEXT NOT NULL,
    "call" TEXT NOT NULL,
    "class" TEXT NOT NULL,
    "count" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "upstream_answers_pkey" PRIMARY KEY ("upstream","call","class")
);
