// Makes text of a provider storable: Postgres refuses U+0000 and lone surrogates, and no secret may be kept.

/** Shorter secrets are left alone: hiding "cat" would only garble the text. */
const SECRET_CHARS_MIN = 8

/** Well-formed text without U+0000, without the secrets, trimmed and cut to `charsMax` characters. */
export function storableText(value: string, charsMax: number, secrets: readonly string[]): string {
  let text = wellFormed(value).replaceAll('\u0000', '')
  for (const secret of secrets) {
    if (secret.length >= SECRET_CHARS_MIN) text = text.replaceAll(secret, '[hidden]')
  }
  // Cutting may halve a surrogate pair.
  return text
    .trim()
    .slice(0, charsMax)
    .replace(/\p{Cs}/gu, '')
    .trim()
}

/** Lone surrogates replaced, as String.prototype.toWellFormed does. */
export function wellFormed(value: string): string {
  return value.replace(/\p{Cs}/gu, '\uFFFD')
}
