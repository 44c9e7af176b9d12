-- Columns with a constant default: no row is rewritten.

-- CreateEnum
CREATE TYPE "webhook_payload" AS ENUM ('full', 'thin');

-- AlterTable
ALTER TABLE "deliveries" ADD COLUMN     "payload" "webhook_payload" NOT NULL DEFAULT 'full';

-- AlterTable
ALTER TABLE "webhook_endpoints" ADD COLUMN     "headers" JSONB NOT NULL DEFAULT '{}',
ADD COLUMN     "payload" "webhook_payload" NOT NULL DEFAULT 'full';
