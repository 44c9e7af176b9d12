// How long a text is on the wire and on disk. `Buffer` would know it too, and no browser has that.

const encoder = new TextEncoder()

/** How many bytes the text has as UTF-8; half of a surrogate pair counts as the three bytes of U+FFFD. */
export function utf8Bytes(text: string): number {
  return encoder.encode(text).length
}
