-- CreateTable
CREATE TABLE "operator_passwords" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "hash" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "operator_passwords_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "login_guesses" (
    "key" TEXT NOT NULL,
    "wrong" INTEGER NOT NULL DEFAULT 1,
    "blocked_until" TIMESTAMPTZ(3),
    "changed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "login_guesses_pkey" PRIMARY KEY ("key")
);
