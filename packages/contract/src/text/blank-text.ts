// Text without a visible character: spaces of every kind, characters without width, lone combining marks, fillers.

/**
 * One visible character. Unicode calls the fillers of Hangul (U+3164, U+115F …) and the characters without width
 * default-ignorable. The blank pattern of Braille (U+2800) is a symbol to Unicode, but empty to the eye.
 */
const VISIBLE = /[^\p{White_Space}\p{Z}\p{Cc}\p{Cf}\p{M}\p{Default_Ignorable_Code_Point}\u2800]/u

/** Whether the text has no visible character. Stops at the first visible character. */
export function isBlank(text: string): boolean {
  return !VISIBLE.test(text)
}
