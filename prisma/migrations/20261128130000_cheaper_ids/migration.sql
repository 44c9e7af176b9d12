-- TypeIDs at half the cost again: hexadecimal digits are digits of base 32 too, so a UUID's own are taken as they are. 'e' begins with
-- the bits of version 7, and the digit of a UUID's variant stands where its bits belong; 58 bits are random in each millisecond.
CREATE OR REPLACE FUNCTION "new_id"(prefix TEXT) RETURNS TEXT LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  digits CONSTANT BYTEA := '0123456789abcdefghjkmnpqrstvwxyz';
  ms CONSTANT BIGINT := extract(epoch FROM clock_timestamp()) * 1000;
  random CONSTANT TEXT := gen_random_uuid()::text;
BEGIN
  RETURN prefix || '_'
    || chr(get_byte(digits, (ms >> 45 & 31)::int)) || chr(get_byte(digits, (ms >> 40 & 31)::int))
    || chr(get_byte(digits, (ms >> 35 & 31)::int)) || chr(get_byte(digits, (ms >> 30 & 31)::int))
    || chr(get_byte(digits, (ms >> 25 & 31)::int)) || chr(get_byte(digits, (ms >> 20 & 31)::int))
    || chr(get_byte(digits, (ms >> 15 & 31)::int)) || chr(get_byte(digits, (ms >> 10 & 31)::int))
    || chr(get_byte(digits, (ms >> 5 & 31)::int)) || chr(get_byte(digits, (ms & 31)::int))
    || 'e' || substr(random, 1, 2) || substr(random, 20, 4) || substr(random, 25, 9);
END $$;
