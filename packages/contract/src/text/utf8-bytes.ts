// The length of a text on the wire and on disk. `Buffer` knows the length too, but browsers have no `Buffer`.

const encoder = new TextEncoder()

/** The number of bytes of the text as UTF-8. Half of a surrogate pair counts as the three bytes of U+FFFD. */
export function utf8Bytes(text: string): number {
  return encoder.encode(text).length
}
