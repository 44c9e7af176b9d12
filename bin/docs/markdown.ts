// Markdown as the generated pages need it.

/** A table; cells may hold any inline Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

export function code(text: string | number): string {
  return `\`${text}\``
}

/** A page that is made by `npm run docs`: its title, one line saying so, and its parts with a blank line between them. */
export function page(title: string, source: string, ...parts: readonly string[]): string {
  const origin = `<!-- Made from ${source} by \`npm run docs\`: change that, not this. -->`
  return `${[`# ${title}`, origin, ...parts].join('\n\n')}\n`
}
