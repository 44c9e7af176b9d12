-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateEnum
CREATE TYPE "generation_status" AS ENUM ('queued', 'submitting', 'processing', 'completed', 'failed', 'cancelled');

-- CreateEnum
CREATE TYPE "submission_state" AS ENUM ('started', 'accepted', 'rejected', 'unknown');

-- CreateEnum
CREATE TYPE "delivery_state" AS ENUM ('pending', 'succeeded', 'failed');

-- CreateEnum
CREATE TYPE "unknown_submission_policy" AS ENUM ('fail', 'resubmit');

-- CreateTable
CREATE TABLE "projects" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "webhook_secret" TEXT NOT NULL,
    "on_unknown_submission" "unknown_submission_policy" NOT NULL DEFAULT 'fail',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "projects_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "api_keys" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "hint" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "batches" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "total" INTEGER NOT NULL,
    "webhook_url" TEXT,
    "metadata" JSONB,
    "event_seq" INTEGER NOT NULL DEFAULT 0,
    "idempotency_key" TEXT,
    "idempotency_hash" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "completed_at" TIMESTAMPTZ(3),

    CONSTRAINT "batches_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "generations" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "batch_id" TEXT,
    "custom_id" TEXT,
    "status" "generation_status" NOT NULL DEFAULT 'queued',
    "model" TEXT NOT NULL,
    "prompt" TEXT NOT NULL,
    "size" TEXT,
    "seconds" INTEGER,
    "input_reference" JSONB,
    "priority" INTEGER NOT NULL DEFAULT 0,
    "metadata" JSONB,
    "webhook_url" TEXT,
    "on_unknown_submission" "unknown_submission_policy" NOT NULL DEFAULT 'fail',
    "idempotency_key" TEXT,
    "idempotency_hash" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "due_at" TIMESTAMPTZ(3),
    "wakes" INTEGER NOT NULL DEFAULT 0,
    "admitted_at" TIMESTAMPTZ(3),
    "slot_until" TIMESTAMPTZ(3),
    "cancel_requested_at" TIMESTAMPTZ(3),
    "current_submission_id" TEXT,
    "upstream" TEXT,
    "upstream_task_id" TEXT,
    "submitted_at" TIMESTAMPTZ(3),
    "last_pending_at" TIMESTAMPTZ(3),
    "poll_failures" INTEGER NOT NULL DEFAULT 0,
    "answer" JSONB,
    "video_url" TEXT,
    "video_url_expires_at" TIMESTAMPTZ(3),
    "actual_duration" DOUBLE PRECISION,
    "cost" JSONB,
    "error_code" TEXT,
    "error_message" TEXT,
    "finished_at" TIMESTAMPTZ(3),
    "event_seq" INTEGER NOT NULL DEFAULT 1,

    CONSTRAINT "generations_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "submissions" (
    "id" TEXT NOT NULL,
    "generation_id" TEXT NOT NULL,
    "upstream" TEXT NOT NULL,
    "state" "submission_state" NOT NULL DEFAULT 'started',
    "lease_until" TIMESTAMPTZ(3) NOT NULL,
    "upstream_task_id" TEXT,
    "http_status" INTEGER,
    "error_code" TEXT,
    "error_message" TEXT,
    "retry_at" TIMESTAMPTZ(3),
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "settled_at" TIMESTAMPTZ(3),

    CONSTRAINT "submissions_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "events" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "generation_id" TEXT,
    "batch_id" TEXT,
    "sequence" INTEGER NOT NULL,
    "type" TEXT NOT NULL,
    "data" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "events_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "webhook_endpoints" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "description" TEXT,
    "event_types" TEXT[],
    "secret" TEXT NOT NULL,
    "disabled_at" TIMESTAMPTZ(3),
    "disabled_reason" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "webhook_endpoints_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "deliveries" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "event_id" TEXT NOT NULL,
    "endpoint_id" TEXT,
    "url" TEXT NOT NULL,
    "state" "delivery_state" NOT NULL DEFAULT 'pending',
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "next_attempt_at" TIMESTAMPTZ(3),
    "due_at" TIMESTAMPTZ(3),
    "wakes" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "deliveries_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "delivery_attempts" (
    "id" TEXT NOT NULL,
    "delivery_id" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "http_status" INTEGER,
    "error_class" TEXT,
    "message" TEXT NOT NULL,
    "reply_snippet" TEXT,
    "duration_ms" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "delivery_attempts_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "projects_name_key" ON "projects"("name");

-- CreateIndex
CREATE UNIQUE INDEX "api_keys_hash_key" ON "api_keys"("hash");

-- CreateIndex
CREATE INDEX "api_keys_project_id_idx" ON "api_keys"("project_id");

-- CreateIndex
CREATE INDEX "batches_project_id_id_idx" ON "batches"("project_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "batches_project_id_idempotency_key_key" ON "batches"("project_id", "idempotency_key");

-- CreateIndex
CREATE INDEX "generations_project_id_id_idx" ON "generations"("project_id", "id");

-- CreateIndex
CREATE INDEX "generations_project_id_status_id_idx" ON "generations"("project_id", "status", "id");

-- CreateIndex
CREATE INDEX "submissions_generation_id_id_idx" ON "submissions"("generation_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "submissions_upstream_upstream_task_id_key" ON "submissions"("upstream", "upstream_task_id");

-- CreateIndex
CREATE UNIQUE INDEX "events_generation_id_sequence_key" ON "events"("generation_id", "sequence");

-- CreateIndex
CREATE UNIQUE INDEX "events_batch_id_sequence_key" ON "events"("batch_id", "sequence");

-- CreateIndex
CREATE INDEX "webhook_endpoints_project_id_idx" ON "webhook_endpoints"("project_id");

-- CreateIndex
CREATE INDEX "deliveries_project_id_id_idx" ON "deliveries"("project_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "deliveries_event_id_url_key" ON "deliveries"("event_id", "url");

-- CreateIndex
CREATE UNIQUE INDEX "delivery_attempts_delivery_id_number_key" ON "delivery_attempts"("delivery_id", "number");

-- AddForeignKey
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "batches" ADD CONSTRAINT "batches_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "generations" ADD CONSTRAINT "generations_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "generations" ADD CONSTRAINT "generations_batch_id_fkey" FOREIGN KEY ("batch_id") REFERENCES "batches"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "submissions" ADD CONSTRAINT "submissions_generation_id_fkey" FOREIGN KEY ("generation_id") REFERENCES "generations"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "events" ADD CONSTRAINT "events_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "events" ADD CONSTRAINT "events_generation_id_fkey" FOREIGN KEY ("generation_id") REFERENCES "generations"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "events" ADD CONSTRAINT "events_batch_id_fkey" FOREIGN KEY ("batch_id") REFERENCES "batches"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "webhook_endpoints" ADD CONSTRAINT "webhook_endpoints_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_event_id_fkey" FOREIGN KEY ("event_id") REFERENCES "events"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_endpoint_id_fkey" FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "delivery_attempts" ADD CONSTRAINT "delivery_attempts_delivery_id_fkey" FOREIGN KEY ("delivery_id") REFERENCES "deliveries"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- Below: what Prisma's schema language cannot say.

-- A TypeID: the prefix, then a UUIDv7 in Crockford's base 32 (26 characters, time-ordered). Source: TypeID specification 0.3.
CREATE FUNCTION "new_id"(prefix TEXT) RETURNS TEXT LANGUAGE SQL VOLATILE AS $$
  SELECT prefix || '_' || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', substring(bits FROM 1 + 5 * i FOR 5)::int + 1, 1), '' ORDER BY i)
  FROM (
    SELECT B'00' || ('x' || lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
      || '7' || substr(random, 14, 3) || substr('89ab', 1 + get_byte(decode(substr(random, 1, 2), 'hex'), 0) % 4, 1) || substr(random, 18))::bit(128) AS bits
    FROM (SELECT replace(gen_random_uuid()::text, '-', '') AS random) entropy
  ) uuid, generate_series(0, 25) AS i
$$;

-- One key names one generation for as long as its row lives.
CREATE UNIQUE INDEX "generations_idempotency_key" ON "generations"("project_id", "idempotency_key") WHERE "idempotency_key" IS NOT NULL;
CREATE INDEX "generations_custom_id_idx" ON "generations"("project_id", "custom_id", "id") WHERE "custom_id" IS NOT NULL;
CREATE INDEX "generations_batch_idx" ON "generations"("batch_id", "id") WHERE "batch_id" IS NOT NULL;
CREATE INDEX "generations_batch_status_idx" ON "generations"("batch_id", "status", "id") WHERE "batch_id" IS NOT NULL;

-- admit: the backlog in the order of admission, and the slots that are taken.
CREATE INDEX "generations_backlog_idx" ON "generations"("project_id", "priority" DESC, "id") WHERE "status" = 'queued' AND "admitted_at" IS NULL;
CREATE INDEX "generations_slots_idx" ON "generations"("project_id") WHERE "admitted_at" IS NOT NULL AND "status" IN ('queued', 'submitting', 'processing');
CREATE INDEX "generations_late_slots_idx" ON "generations"("slot_until") WHERE "slot_until" IS NOT NULL;

-- Polling lanes and reconcile each claim what is due; a row belongs to exactly one of the two indexes.
CREATE INDEX "generations_poll_due_idx" ON "generations"("due_at")
  WHERE "due_at" IS NOT NULL AND "status" IN ('processing', 'failed') AND "answer" IS NULL;
CREATE INDEX "generations_wake_due_idx" ON "generations"("due_at")
  WHERE "due_at" IS NOT NULL AND ("status" IN ('queued', 'submitting') OR "answer" IS NOT NULL);

CREATE INDEX "batches_open_idx" ON "batches"("id") WHERE "completed_at" IS NULL;
CREATE INDEX "deliveries_due_idx" ON "deliveries"("due_at") WHERE "state" = 'pending';

ALTER TABLE "events" ADD CONSTRAINT "events_one_subject" CHECK (num_nonnulls("generation_id", "batch_id") = 1);
ALTER TABLE "generations" ADD CONSTRAINT "generations_completed_has_url" CHECK ("status" <> 'completed' OR ("video_url" IS NOT NULL AND "video_url_expires_at" IS NOT NULL));
ALTER TABLE "generations" ADD CONSTRAINT "generations_failed_has_error" CHECK ("status" <> 'failed' OR "error_code" IS NOT NULL);
ALTER TABLE "generations" ADD CONSTRAINT "generations_finished" CHECK (("finished_at" IS NOT NULL) = ("status" IN ('completed', 'failed', 'cancelled')));
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_pending_is_due" CHECK (("next_attempt_at" IS NOT NULL) = ("state" = 'pending') AND ("due_at" IS NOT NULL) = ("state" = 'pending'));
