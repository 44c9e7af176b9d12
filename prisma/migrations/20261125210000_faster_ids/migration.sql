-- The same TypeIDs at half the cost: 50 bits of time are ten digits of base 32, and the 80 bits that follow are twice eight. A
-- cancel of fifty thousand makes as many events.
CREATE OR REPLACE FUNCTION "new_id"(prefix TEXT) RETURNS TEXT LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  digits CONSTANT TEXT := '0123456789abcdefghjkmnpqrstvwxyz';
  random CONSTANT TEXT := replace(gen_random_uuid()::text, '-', '');
  ms CONSTANT BIGINT := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
  -- Version 7, twelve random bits, the variant, 22 random bits.
  high CONSTANT BIGINT := (7::bigint << 36) | (('x' || substr(random, 14, 3))::bit(12)::bigint << 24)
    | (2::bigint << 22) | (('x' || substr(random, 1, 6))::bit(24)::bigint >> 2);
  low CONSTANT BIGINT := ('x' || substr(random, 23, 10))::bit(40)::bigint;
  id TEXT := prefix || '_';
BEGIN
  FOR i IN REVERSE 9..0 LOOP id := id || substr(digits, ((ms >> (5 * i)) & 31)::int + 1, 1); END LOOP;
  FOR i IN REVERSE 7..0 LOOP id := id || substr(digits, ((high >> (5 * i)) & 31)::int + 1, 1); END LOOP;
  FOR i IN REVERSE 7..0 LOOP id := id || substr(digits, ((low >> (5 * i)) & 31)::int + 1, 1); END LOOP;
  RETURN id;
END $$;
