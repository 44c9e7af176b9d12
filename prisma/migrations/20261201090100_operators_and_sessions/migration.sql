-- Operators with a password of their own, and the sessions of the console.
CREATE TABLE "operators" (
  "id" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "role" TEXT NOT NULL,
  "project_id" TEXT,
  "password_hash" TEXT NOT NULL,
  "disabled_at" TIMESTAMPTZ(3),
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "operators_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "operators_role_check" CHECK ("role" IN ('operator', 'viewer', 'member')),
  CONSTRAINT "operators_project_check" CHECK (("role" = 'member') = ("project_id" IS NOT NULL))
);
CREATE UNIQUE INDEX "operators_name_key" ON "operators"(lower("name"));

CREATE TABLE "sessions" (
  "id" TEXT NOT NULL,
  "token_hash" TEXT NOT NULL,
  "operator_id" TEXT,
  "name" TEXT NOT NULL,
  "role" TEXT NOT NULL,
  "project_id" TEXT,
  "password_proof" TEXT,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "expires_at" TIMESTAMPTZ(3) NOT NULL,
  "user_agent" TEXT,
  "address" TEXT,
  CONSTRAINT "sessions_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "sessions_role_check" CHECK ("role" IN ('operator', 'viewer', 'member')),
  CONSTRAINT "sessions_project_check" CHECK (("role" = 'member') = ("project_id" IS NOT NULL)),
  CONSTRAINT "sessions_operator_id_fkey" FOREIGN KEY ("operator_id") REFERENCES "operators"("id")
    ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "sessions_token_hash_key" ON "sessions"("token_hash");
CREATE INDEX "sessions_name_id_idx" ON "sessions"("name", "id");
CREATE INDEX "sessions_expires_at_idx" ON "sessions"("expires_at");
