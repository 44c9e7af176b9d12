// Plots lag against requests: one panel for each distribution; lower left is better.

import { type Comparison, compare, DISTRIBUTIONS, every, type Outcome, oracleAt, rendersOf } from './poll-simulation.ts'

const PANEL = { width: 430, height: 300 }
/** Margins of a panel around the plot. */
const EDGE = { left: 48, right: 16, top: 52, bottom: 44 }
const LAG_MAX_S = 32
const REQUESTS_MAX = 18
const FIXED_S = [10, 15, 20, 30, 40, 60]
const ORACLE_S = [2, 3, 4, 5, 7, 10, 14, 20, 30]

const round = (value: number) => Math.round(value * 10) / 10
const x = (requests: number) => round(EDGE.left + (requests / REQUESTS_MAX) * (PANEL.width - EDGE.left - EDGE.right))
const y = (lagMs: number) =>
  round(PANEL.height - EDGE.bottom - (lagMs / 1_000 / LAG_MAX_S) * (PANEL.height - EDGE.top - EDGE.bottom))
const isShown = ({ lagMs, requests }: Outcome) => lagMs <= LAG_MAX_S * 1_000 && requests <= REQUESTS_MAX

function line(name: string, outcomes: readonly Outcome[]): string {
  const points = outcomes.filter(isShown).map(({ lagMs, requests }) => `${x(requests)},${y(lagMs)}`)
  return `<polyline class="${name}" points="${points.join(' ')}"/>`
}

function dot(name: string, { lagMs, requests }: Outcome, label: string): string {
  if (!isShown({ lagMs, requests })) return ''
  const [cx, cy] = [x(requests), y(lagMs)]
  return `<circle class="${name}" cx="${cx}" cy="${cy}" r="4.5"/><text class="label" x="${cx + 8}" y="${cy - 6}">${label}</text>`
}

function axes(): string {
  const [left, bottom] = [x(0), y(0)]
  const [right, top] = [x(REQUESTS_MAX), y(LAG_MAX_S * 1_000)]
  const across = [4, 8, 12, 16].map((n) => `<text class="tick" x="${x(n)}" y="${bottom + 16}">${n}</text>`)
  const up = [10, 20, 30].map((s) => {
    const at = y(s * 1_000)
    return `<line class="grid" x1="${left}" x2="${right}" y1="${at}" y2="${at}"/><text class="tick end" x="${left - 6}" y="${at + 4}">${s} s</text>`
  })
  return [
    ...up,
    ...across,
    `<path class="axis" d="M${left},${top} V${bottom} H${right}"/>`,
    `<text class="tick" x="${(left + right) / 2}" y="${bottom + 34}">requests for each clip</text>`,
    `<text class="tick begin" x="${left + 6}" y="${top + 4}">mean lag</text>`,
  ].join('\n    ')
}

/** The goal: half the requests of polling every 30 s, at half of its lag. */
function goal({ 'every 30 s': { lagMs, requests } }: Comparison): string {
  const [width, height] = [x(requests / 2) - x(0), y(0) - y(lagMs / 2)]
  return `<rect class="goal" x="${x(0)}" y="${y(lagMs / 2)}" width="${round(width)}" height="${round(height)}"/>`
}

function panel(name: string, renderMs: readonly number[], index: number): string {
  const compared = compare(renderMs)
  const [column, row] = [index % 2, Math.floor(index / 2)]
  const [title = '', ...rest] = name.split(/(?<=[a-z])[,:] | (?=between)/)
  return `<g transform="translate(${20 + column * PANEL.width} ${34 + row * PANEL.height})">
    <text class="name" x="${EDGE.left}" y="20">${title}</text><text class="label" x="${EDGE.left}" y="37">${rest.join(', ')}</text>
    ${goal(compared)}
    ${axes()}
    ${line(
      'fixed',
      FIXED_S.map((s) => every(s, renderMs)),
    )}
    ${line(
      'oracle',
      ORACLE_S.map((s) => oracleAt(s * 1_000, renderMs)),
    )}
    ${dot('fixed-dot', compared['every 15 s'], 'every 15 s')}
    ${dot('fixed-dot', compared['every 30 s'], 'every 30 s')}
    ${dot('other-dot', compared['exponential, 5 s to 60 s'], 'exponential')}
    ${dot('plan-dot', compared.plan, 'Reelqueue')}
  </g>`
}

/** The picture of docs/polling.md. */
export function plotPolling(seed: number): string {
  const panels = Object.entries(DISTRIBUTIONS).map(([name, draw], index) => panel(name, rendersOf(draw, seed), index))
  const height = 60 + Math.ceil(panels.length / 2) * PANEL.height
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${40 + 2 * PANEL.width} ${height}" role="img" aria-labelledby="title description" font-family="ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif">
  <title id="title">Lag against requests for each clip</title>
  <desc id="description">For four distributions of render times: polling at fixed intervals, with exponential back-off, by Reelqueue's plan, and the bound of an oracle that knows the distribution. Reelqueue needs fewer than half the requests of polling every 30 seconds, at less than half of its lag.</desc>
  <style>
    .back { fill: #ffffff }
    .name { fill: #1f2328; font-size: 15px; font-weight: 600 }
    .label { fill: #57606a; font-size: 12px }
    .tick { fill: #57606a; font-size: 12px; text-anchor: middle }
    .end { text-anchor: end }
    .begin { text-anchor: start }
    .axis { fill: none; stroke: #57606a; stroke-width: 1.5 }
    .grid { stroke: #d0d7de; stroke-width: 1 }
    .goal { fill: #dafbe1 }
    .fixed { fill: none; stroke: #8c959f; stroke-width: 1.5 }
    .fixed-dot { fill: #8c959f }
    .other-dot { fill: #bc4c00 }
    .oracle { fill: none; stroke: #0969da; stroke-width: 1.5; stroke-dasharray: 4 4 }
    .plan-dot { fill: #1a7f37 }
    @media (prefers-color-scheme: dark) {
      .back { fill: #151b23 }
      .name { fill: #f0f6fc }
      .label, .tick { fill: #9198a1 }
      .axis { stroke: #9198a1 }
      .grid { stroke: #3d444d }
      .goal { fill: #12361f }
      .fixed { stroke: #656c76 }
      .fixed-dot { fill: #9198a1 }
      .other-dot { fill: #f0883e }
      .oracle { stroke: #4493f8 }
      .plan-dot { fill: #3fb950 }
    }
  </style>
  <rect class="back" width="100%" height="100%"/>
  <g transform="translate(${20 + EDGE.left} 20)">
    <line class="fixed" x1="0" x2="28" y1="0" y2="0"/><text class="label" x="36" y="4">fixed intervals, 10 s to 60 s</text>
    <line class="oracle" x1="220" x2="248" y1="0" y2="0"/><text class="label" x="256" y="4">whoever knows the distribution beforehand</text>
    <rect class="goal" x="560" y="-8" width="28" height="16"/><text class="label" x="596" y="4">half of every 30 s, in both</text>
  </g>
  ${panels.join('\n  ')}
</svg>
`
}
