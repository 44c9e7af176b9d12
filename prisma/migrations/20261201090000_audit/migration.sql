-- Who did what. A row is written in the transaction of the change, and never changed.
CREATE TABLE "audit_entries" (
  "id" TEXT NOT NULL,
  "at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "actor" TEXT NOT NULL,
  "via" TEXT NOT NULL,
  "address" TEXT,
  "action" TEXT NOT NULL,
  "subject" TEXT,
  "project_id" TEXT,
  "changes" JSONB,
  "reason" TEXT,
  "request_id" TEXT,
  CONSTRAINT "audit_entries_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "audit_entries_subject_idx" ON "audit_entries"("subject", "id") WHERE "subject" IS NOT NULL;
CREATE INDEX "audit_entries_actor_idx" ON "audit_entries"("actor", "id");
CREATE INDEX "audit_entries_project_idx" ON "audit_entries"("project_id", "id") WHERE "project_id" IS NOT NULL;
