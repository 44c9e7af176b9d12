// What is kept of an endpoint's reply. All of it was chosen by a stranger: bounded, and made safe for Postgres text,
// which refuses U+0000 and text that is not well-formed.

/**
 * Decodes `bytes` as UTF-8 into text of at most `bytesMax` bytes that Postgres can store: what is not UTF-8 and U+0000
 * become U+FFFD, and a character cut off at the end is dropped.
 */
export function storableText(bytes: Uint8Array, bytesMax: number): string {
  const decoded = new TextDecoder().decode(bytes.subarray(0, bytesMax), { stream: true })
  const text = decoded.replaceAll('\0', '\uFFFD')
  // U+FFFD is longer than what it replaces, hence the second cut.
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytesMax))
  return text.slice(0, read)
}
