// Findings for human readers: a line for each finding, with the fix below.

import type { Finding, Level } from '@reelqueue/shared/doctor/finding'

const MARKS: Readonly<Record<Level, string>> = { ok: '✓', warning: '!', down: '✗', wrong: '✗' }

/** Lines in columns of even width. */
export function report(findings: readonly Finding[]): string {
  const levelChars = Math.max(...findings.map(({ level }) => level.length))
  const checkChars = Math.max(...findings.map(({ check }) => check.length))
  return findings
    .flatMap(({ check, level, detail, fix }) => {
      const head = `${MARKS[level]} ${level.padEnd(levelChars)}  ${check.padEnd(checkChars)}  `
      return fix === null ? [`${head}${detail}`] : [`${head}${detail}`, `${' '.repeat(head.length)}→ ${fix}`]
    })
    .join('\n')
}
