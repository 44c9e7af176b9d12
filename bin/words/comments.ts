// Reads the comments of a source file and finds in them what CONTRIBUTING.md, "Style", does not allow.

/** A comment of one or more lines, without its markers. */
export interface Comment {
  /** The number of its first line. */
  readonly line: number
  readonly text: string
}

const MARKER = /^\s*(?:\/\/|\/\*\*?|\*(?!\/))\s?(.*?)(?:\*\/)?\s*$/

/** The comments that stand on lines of their own. Neighbouring lines are one comment. */
export function readComments(source: string): Comment[] {
  const comments: { line: number; text: string }[] = []
  let isInside = false
  for (const [index, line] of source.split('\n').entries()) {
    const text = MARKER.exec(line)?.[1]
    const last = comments.at(-1)
    if (text === undefined) isInside = false
    else if (isInside && last) last.text += ` ${text}`
    else {
      comments.push({ line: index + 1, text })
      isInside = true
    }
  }
  return comments.map(({ line, text }) => ({ line, text: text.trim() })).filter(({ text }) => text !== '')
}

/** Words that no document of the field uses, each with a word to write instead. */
const ARCHAIC: Readonly<Record<string, string>> = {
  besides: 'also',
  whoever: 'the caller, the worker, the process',
  'of late': 'recently',
  nobody: 'no caller, no worker',
  anew: 'again',
  meanwhile: 'in the meantime',
  'at the most': 'at most',
  'in vain': 'without success',
  'all the same': 'still',
  thereby: 'so',
  hence: 'so',
  thus: 'so',
  likewise: 'also',
  'by and by': 'later',
  lest: 'so that … not',
}
const ARCHAIC_WORDS = new RegExp(`\\b(${Object.keys(ARCHAIC).join('|')})\\b`, 'gi')

const PRONOUN_FIRST =
  /^(It|They|Those|That|Ones|Others|Which|Somebody|Anybody|Everybody|One(?= (?:of|that|who|is|has|by)\b))\b/

/** What a comment does wrong, in words; nothing when it reads well. */
export function faultsOf({ text }: Comment): string[] {
  const words = (text.match(ARCHAIC_WORDS) ?? []).map((word) => {
    return `"${word}" is not a word of the field: write ${ARCHAIC[word.toLowerCase()]}`
  })
  const [first] = PRONOUN_FIRST.exec(text) ?? []
  return first === undefined ? words : [...words, `the comment begins with "${first}": name the subject`]
}
