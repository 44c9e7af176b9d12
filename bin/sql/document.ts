// A text with places where a line may end, after Wadler, "A prettier printer". A group is printed on one line when it
// fits; otherwise each line end of the group itself becomes a new line. A fill ends a line only where the next part
// does not fit.

export type Doc = string | readonly Doc[] | LineEnd | Indented | Group | Fill

interface LineEnd {
  readonly kind: 'line'
  /** The text in place of a line end that is not used; null when the line always ends here. */
  readonly flat: string | null
}
interface Indented {
  readonly kind: 'indent'
  readonly doc: Doc
}
interface Group {
  readonly kind: 'group'
  readonly doc: Doc
  readonly isBroken: boolean
}
interface Fill {
  readonly kind: 'fill'
  /** Contents and the line ends between the contents, in turn. */
  readonly parts: readonly Doc[]
}

export const LINE: Doc = { kind: 'line', flat: ' ' }
export const SOFT_LINE: Doc = { kind: 'line', flat: '' }
export const HARD_LINE: Doc = { kind: 'line', flat: null }
export const indent = (doc: Doc): Doc => ({ kind: 'indent', doc })
export const group = (doc: Doc): Doc => ({ kind: 'group', doc, isBroken: mustBreak(doc) })
export const fill = (contents: readonly Doc[]): Doc => ({ kind: 'fill', parts: between(contents, LINE) })
/** The contents with `separator` between neighbours. */
export const between = (contents: readonly Doc[], separator: Doc): Doc[] =>
  contents.flatMap((doc, index) => (index === 0 ? [doc] : [separator, doc]))

function mustBreak(doc: Doc): boolean {
  if (typeof doc === 'string') return doc.includes('\n')
  if (isList(doc)) return doc.some(mustBreak)
  if (doc.kind === 'line') return doc.flat === null
  return doc.kind === 'fill' ? doc.parts.some(mustBreak) : mustBreak(doc.doc)
}

/** What is still to be printed: a document, its indentation, and whether its line ends are spaces. */
type Todo = readonly [doc: Doc, margin: number, isFlat: boolean]

/** Prints a document whose first character stands in the column `margin`; lines have at most `columnsMax` columns. */
export function print(doc: Doc, margin: number, columnsMax: number): string {
  let text = ''
  let column = margin
  const todo: Todo[] = [[doc, margin, false]]
  const fitsHere = (next: Todo, rest: readonly Todo[]) => fits(next, rest, columnsMax - column)
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const [now, at, isFlat] = next
    if (typeof now === 'string') {
      text += now
      column = now.includes('\n') ? now.length - now.lastIndexOf('\n') - 1 : column + now.length
    } else if (isList(now)) {
      for (const part of [...now].reverse()) todo.push([part, at, isFlat])
    } else if (now.kind === 'indent') todo.push([now.doc, at + 2, isFlat])
    else if (now.kind === 'group') {
      todo.push([now.doc, at, isFlat || (!now.isBroken && fitsHere([now.doc, at, true], todo))])
    } else if (now.kind === 'fill') {
      const [content = '', separator, ...others] = now.parts
      const isContentFlat = fitsHere([content, at, true], separator === undefined ? todo : [])
      if (separator !== undefined) {
        const pair: Doc = [content, separator, others[0] ?? '']
        todo.push([{ kind: 'fill', parts: others }, at, isFlat])
        todo.push([
          separator,
          at,
          !mustBreak(pair) && fitsHere([pair, at, true], others.length > 1 ? [] : todo.slice(0, -1)),
        ])
      }
      todo.push([content, at, isContentFlat && !mustBreak(content)])
    } else if (isFlat && now.flat !== null) {
      text += now.flat
      column += now.flat.length
    } else {
      text = `${text.trimEnd()}\n${' '.repeat(at)}`
      column = at
    }
  }
  return text
}

/** Whether the text up to the next line end has at most `columns` columns. */
function fits(next: Todo, rest: readonly Todo[], columns: number): boolean {
  let left = columns
  const todo: Todo[] = [next]
  let restLeft = rest.length
  for (;;) {
    if (left < 0) return false
    let now = todo.pop()
    if (now === undefined) {
      if (restLeft === 0) return true
      restLeft -= 1
      now = rest[restLeft]
      if (now === undefined) return true
    }
    const [doc, at, isFlat] = now
    if (typeof doc === 'string') left -= doc.length
    else if (isList(doc)) for (const part of [...doc].reverse()) todo.push([part, at, isFlat])
    else if (doc.kind === 'line') {
      if (!isFlat || doc.flat === null) return true
      left -= doc.flat.length
    } else if (doc.kind === 'fill') for (const part of [...doc.parts].reverse()) todo.push([part, at, isFlat])
    else todo.push([doc.doc, at, isFlat && !(doc.kind === 'group' && doc.isBroken)])
  }
}

function isList(doc: Doc): doc is readonly Doc[] {
  return Array.isArray(doc)
}
