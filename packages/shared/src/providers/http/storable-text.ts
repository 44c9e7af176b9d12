// Makes a provider's text storable: Postgres refuses U+0000 and lone surrogates, and secrets must not be kept.

/** Shorter secrets are not hidden: replacing "cat" would only garble the text. */
const SECRET_CHARS_MIN = 8

/** Well-formed text without U+0000 and without the secrets, trimmed and cut to `charsMax` characters. */
export function storableText(value: string, charsMax: number, secrets: readonly string[]): string {
  let text = wellFormed(value).replaceAll('\u0000', '')
  for (const secret of secrets) {
    if (secret.length >= SECRET_CHARS_MIN) text = text.replaceAll(secret, '[hidden]')
  }
  // Cutting may split a surrogate pair.
  return text
    .trim()
    .slice(0, charsMax)
    .replace(/\p{Cs}/gu, '')
    .trim()
}

/** Lone surrogates are replaced, like String.prototype.toWellFormed. */
export function wellFormed(value: string): string {
  return value.replace(/\p{Cs}/gu, '\uFFFD')
}
