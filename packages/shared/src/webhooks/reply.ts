// The stored part of an endpoint's reply. A stranger chose every byte: the text is bounded and made safe for Postgres, which refuses U+0000
// and malformed text.

/**
 * Decodes `bytes` as UTF-8 into text of at most `bytesMax` bytes that Postgres can store: invalid bytes and U+0000 become U+FFFD, and a
 * character cut off at the end is dropped.
 */
export function storableText(bytes: Uint8Array, bytesMax: number): string {
  const decoded = new TextDecoder().decode(bytes.subarray(0, bytesMax), { stream: true })
  const text = decoded.replaceAll('\0', '\uFFFD')
  // U+FFFD is longer than the replaced bytes, so the text is cut a second time.
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytesMax))
  return text.slice(0, read)
}
