// Finds declared names of sources, and names of files, with a word that was coined here although the field has a word of its own.

/** A declared name with the number of its line. */
export interface DeclaredName {
  readonly line: number
  readonly name: string
}

/** Words that were coined in this project, each with the words of the field. */
const COINED: ReadonlyMap<string, string> = new Map([
  ['house', 'app, app context'],
  ['lane', 'poller'],
  ['wake', 'enqueue'],
  ['woken', 'enqueued, dispatched'],
  ['owed', 'pending, due'],
  ['owes', 'needs'],
  ['grace', 'back-off, tolerance'],
  ['hasten', 'requeue'],
  ['silences', 'failures'],
  ['conduct', 'health'],
  ['rests', 'cool-down'],
  ['scout', 'exploration'],
  ['outlook', 'estimate'],
  ['verdict', 'decision, outcome'],
  ['judged', 'decided, finished'],
  ['wish', 'request'],
  ['unfit', 'unstorable'],
  ['forget', 'purge, remove'],
  ['abandon', 'cancel'],
  ['heal', 'recover'],
  ['former', 'previous'],
  ['settlement', 'outcome'],
])

const KEYWORDS = /\b(?:const|let|function|class|interface|type)\s+(\w+)/g
/** Parameters, fields and properties: a name before a colon or a parenthesis. A cast of SQL has two colons. */
const MEMBERS = /(?:^\s*|[({,]\s*|\breadonly\s+)(\w+)\??(?::(?!:)|\()/g
const COMMENT = /^\s*(?:\/\/|\/?\*)/

/** The names that a source declares. */
export function declaredNames(source: string): DeclaredName[] {
  return source.split('\n').flatMap((text, index) => {
    if (COMMENT.test(text)) return []
    const names = [KEYWORDS, MEMBERS].flatMap((pattern) => [...text.matchAll(pattern)].map(([, name = '']) => name))
    return [...new Set(names)].map((name) => ({ line: index + 1, name }))
  })
}

/** The coined words of a name or of a path, in words; nothing when the name has none. */
export function coinedWordsOf(name: string): string[] {
  const words = name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/)
  return words.flatMap((word) => {
    const coined = [word, word.replace(/(?:es|s)$/, ''), word.replace(/s$/, ''), word.replace(/ed$/, '')].find((form) =>
      COINED.has(form),
    )
    return coined === undefined
      ? []
      : [`the name "${name}" has the coined word "${coined}": write ${COINED.get(coined)}`]
  })
}
