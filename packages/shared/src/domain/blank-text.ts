// Text in which nobody can see anything: spaces of every kind, characters without width, lone combining marks, fillers.

/**
 * One character that shows. Unicode calls the fillers of Hangul (U+3164, U+115F …) and the characters without width default-ignorable;
 * the blank pattern of Braille (U+2800) is a symbol to Unicode, and empty to the eye.
 */
const VISIBLE = /[^\p{White_Space}\p{Z}\p{Cc}\p{Cf}\p{M}\p{Default_Ignorable_Code_Point}\u2800]/u

/** Whether no character of the text can be seen. Stops at the first that can. */
export function isBlank(text: string): boolean {
  return !VISIBLE.test(text)
}
