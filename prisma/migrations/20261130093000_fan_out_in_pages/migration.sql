-- CreateTable
CREATE TABLE "pending_fan_outs" (
    "project_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,

    CONSTRAINT "pending_fan_outs_pkey" PRIMARY KEY ("project_id","id")
);
