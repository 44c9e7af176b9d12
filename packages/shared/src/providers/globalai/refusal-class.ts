// Classifies a certain refusal by status, code and words. Quoted words do not count, and neither do words of the
// prompt: a message may repeat the user's prompt.

import type { RefusalClass } from '../../domain/refusal.ts'
import { isFields, parseBody } from './parse-fields.ts'
import type { Fields } from './shapes.ts'

/** The classifier's input from a reply. */
export interface Refusal {
  readonly httpStatus: number
  /** The unchanged body. */
  readonly text: string
  /** The prompt of the refused request. */
  readonly prompt: string
}

const WORDS: readonly (readonly [RefusalClass, RegExp])[] = [
  [
    'account',
    new RegExp(
      [
        /(insufficient|not enough|not sufficient|exhausted|no (more |remaining )?|low|negative|out of|run out of|ran out of|lacks?)[\s_-]*(of |your |account |available |remaining |api )*(balance|credits?|quota|funds?|tokens? balance)/,
        /(balance|quota|credits?|funds?)[\s_-]*(is |are |has been |have been |was |were )?(currently )?(too low|insufficient|exhausted|depleted|exceeded|used up|not enough|not sufficient|run out|negative)/,
        /credit[\s_-]*insufficient|exceeded your current quota|arrearage|in arrears|overdue[\s_-]*(payment|balance|bill)|payment[\s_-]*required|billing[\s_-]*(hard[\s_-]*limit|not active|is not active|disabled)|hard[\s_-]*limit[\s_-]*(has been )?reached|spending[\s_-]*limit|top[\s_-]*up your|please recharge/,
        /(account|user|organi[sz]ation|project|api[\s_-]?key|key|token)( \S+)?[\s_-]*(is |has been |was |are )?(currently )?(suspended|disabled|deactivated|locked|blocked|banned|frozen|terminated|closed|revoked|expired)/,
        /(invalid|incorrect|wrong|missing|no such|unknown|bad)[\s_-]*(api[\s_-]*key|apikey|access[\s_-]*(key|token)|credentials?|auth(entication|orization)?([\s_-]*(token|header))?)|api[\s_-]*key[\s_-]*(is )?(invalid|incorrect|missing|not found|not valid)/,
        /unauthori[sz]ed|unauthenticated|authentication[\s_-]*(failed|error|required)/,
        /余额不足|余额已用|欠费|额度不足|额度已用|额度用尽|配额不足|积分不足|点数不足|账户已|账号已|账户被|账号被|请充值|无效的?(令牌|密钥|api)|令牌(无效|已过期|已失效)|未授权|鉴权失败|认证失败/,
      ]
        .map((one) => one.source)
        .join('|'),
      'i',
    ),
  ],
  [
    'rate',
    /rate[\s_-]*limit|too[\s_-]*many[\s_-]*(concurrent[\s_-]*)?(requests?|tasks?)|concurren(t|cy)[\s_-]*(\w+[\s_-]*)?(limit|exceeded|quota)|throttl|(rpm|tpm|qps)[\s_-]*(limit|exceeded)|slow[\s_-]*down|频率|限流|并发|请求过多|请求过于频繁/i,
  ],
  [
    'capacity',
    /over[\s_-]*loaded|(no|insufficient|not enough|lack of)[\s_-]*(available[\s_-]*)?(capacity|channels?|workers?|gpus?|resources?)|at[\s_-]*capacity|server[\s_-]*(is[\s_-]*)?(too[\s_-]*)?busy|(temporarily|currently)[\s_-]*(unavailable|out of capacity)|负载|繁忙|无可用渠道|资源不足/i,
  ],
  [
    'moderation',
    /moderat|content[\s_-]*(is |was |has been )?(not[\s_-]*(allowed|permitted|acceptable)|filter|polic|violat|reject|block|prohibit|restrict|safety|flagged|sensitive|forbidden)|(violat\w*|against)[\w\s-]*(polic|guideline|terms|rules)|safety[\s_-]*(system|filter|polic|check)|sensitive[\s_-]*(content|words?|information)|nsfw|prohibited[\s_-]*(content|prompt)|inappropriate|prompt[\s_-]*(is |was |has been )?(not allowed|rejected|blocked|flagged|prohibited)|real (person|people)|copyright|敏感|违规|审核|不合规|违禁/i,
  ],
]

/** The class of a refusal. Pure. */
export function classifyRefusal({ httpStatus, text, prompt }: Refusal): RefusalClass {
  const body = parseBody(text)
  const said = body === null ? (isPage(text) ? '' : text) : wordsOf(body.top).join('\n')
  const words = withoutQuotes(said)
  const lowerPrompt = prompt.toLowerCase()
  const matched = WORDS.filter(([, pattern]) => {
    const match = pattern.exec(words)?.[0].toLowerCase()
    return match !== undefined && !lowerPrompt.includes(match)
  }).map(([refusalClass]) => refusalClass)
  // OpenAI sends "insufficient_quota" with a 429, other providers with a 400: account words come before everything.
  const isAboutMoney = matched.includes('account')
  switch (httpStatus) {
    case 401:
      return isPage(text) ? 'configuration' : 'account'
    case 402:
      return 'account'
    case 403:
      if (isPage(text)) return 'configuration'
      if (matched.includes('moderation') && !isAboutMoney) return 'moderation'
      if (isAboutMoney || words.trim() === '') return 'account'
      return matched[0] ?? (NO_PERMISSION.test(words) ? 'account' : 'request')
    case 425:
      return 'rate'
    case 429:
      return isAboutMoney ? 'account' : 'rate'
    case 451:
      return 'moderation'
    case 404:
    case 405:
    case 410:
      // A web server sends its own page for an unknown path; an API answers in JSON about a model or a task.
      if (body === null) return 'configuration'
      return isAboutMoney ? 'account' : namesRoute(words) ? 'configuration' : (matched[0] ?? 'request')
    default:
      if (httpStatus >= 300 && httpStatus < 400) return 'configuration'
      if (body === null && isPage(text)) return 'configuration'
      return envelopeClass(body?.top.code) ?? matched[0] ?? 'request'
  }
}

/** Statuses used as an envelope's code. */
function envelopeClass(code: unknown): RefusalClass | null {
  if (String(code) === '401' || String(code) === '402') return 'account'
  return String(code) === '429' ? 'rate' : null
}

/** Whether the body is an HTML page. */
const isPage = (text: string) => /^\s*</.test(text)

/**
 * Framework messages such as "No handler found", "Cannot POST /x", "route not found", "Method Not Allowed", or a bare
 * "Not Found".
 */
function namesRoute(words: string): boolean {
  return (
    /no (handler|route|endpoint|resource|static resource)|(route|path|endpoint|url|page|resource)\b.*(not found|does not exist|not exist)|cannot (post|get)|unknown (path|route|url|endpoint)|invalid url|method[\s_]*not[\s_]*allowed/i.test(
      words,
    ) ||
    words
      .split('\n')
      .every((line) => /^\s*(not[\s_]*found|404( not found)?|error|)\s*$/i.test(line) || /^\/\S*$/.test(line))
  )
}

/** In a 403 or an envelope these words concern the account; in a 400 a field. */
const NO_PERMISSION = /permission|access[\s_-]*(is )?denied|forbidden|not[\s_-]*(authori[sz]ed|permitted)|no access/i

const TEXT_KEYS = /code|type|status|msg|message|detail|reason|error|title/i
const DEPTH_MAX = 4
const WORDS_CHARS_MAX = 4_000

/** All texts of a body that may contain the reason. */
function wordsOf(fields: Fields, depth = 0): string[] {
  return Object.entries(fields).flatMap(([key, value]): string[] => {
    if (typeof value === 'string') return TEXT_KEYS.test(key) ? [value.slice(0, WORDS_CHARS_MAX)] : []
    if (depth >= DEPTH_MAX) return []
    if (Array.isArray(value))
      return value.slice(0, 20).flatMap((one) => wordsOf(isFields(one) ? one : { [key]: one }, DEPTH_MAX))
    return isFields(value) ? wordsOf(value, depth + 1) : []
  })
}

/** Removes quoted passages: quotes may be the user's words. */
function withoutQuotes(text: string): string {
  return text.replace(/"[^"\n]*"|“[^”\n]*”|「[^」\n]*」|`[^`\n]*`|(?<![\p{L}\p{N}])'[^'\n]*'(?![\p{L}\p{N}])/gu, ' ')
}
