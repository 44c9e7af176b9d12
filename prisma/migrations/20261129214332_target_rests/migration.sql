-- CreateTable
CREATE TABLE "target_rests" (
    "target" TEXT NOT NULL,
    "until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "target_rests_pkey" PRIMARY KEY ("target")
);

-- CreateIndex
CREATE INDEX "target_rests_until_idx" ON "target_rests"("until");
