// The Markdown elements of the generated pages.

/** A table in columns of even width, as Biome formats tables; cells may hold any inline Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const escaped = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = head.map((_, column) => Math.max(3, ...escaped.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[], fill = ' ') =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width, fill)).join(' | ')} |`
  const [first = [], ...others] = escaped.map((row) => line(row))
  return [first, line([], '-'), ...others].join('\n')
}

export function code(text: string | number): string {
  return `\`${text}\``
}

/** A page made by `npm run docs`: its title, one line with its source, and its parts separated by blank lines. */
export function page(title: string, source: string, ...parts: readonly string[]): string {
  const origin = `<!-- Made from ${source} by \`npm run docs\`: change that, not this. -->`
  return `${[`# ${title}`, origin, ...parts].join('\n\n')}\n`
}
