-- CreateTable
CREATE TABLE "unstorable_rows" (
    "id" TEXT NOT NULL,
    "statement" TEXT NOT NULL,
    "sql_state" TEXT NOT NULL,
    "failures" INTEGER NOT NULL DEFAULT 1,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retry_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "unstorable_rows_pkey" PRIMARY KEY ("id")
);
