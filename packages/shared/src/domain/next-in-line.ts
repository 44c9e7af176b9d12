// Who is next: the rule of admission in plain steps, without a database. `store/admission/admission.ts` follows the
// same rule in SQL, and a property test compares both. Of at most a few hundred projects: the statement bounds its work
// beyond.

/** A queued generation without a slot. */
export interface Waiting {
  readonly id: string
  readonly projectId: string
  readonly model: string
  readonly priority: number
  /** Its batch is not being cancelled, and Postgres does not refuse to write the row. */
  readonly isAdmissible: boolean
  /** The generation has a submission: the provider refused the generation before. */
  readonly wasTried: boolean
}

/** A slot that is taken. `kept`: for a render that no generation waits for. */
export interface TakenSlot {
  readonly projectId: string
  readonly model: string
  readonly kind: 'starting' | 'rendering' | 'kept'
}

export interface ProjectInLine {
  readonly id: string
  readonly isPaused: boolean
  readonly maxInFlight: number | null
  /** The order of the last slots of projects; null before the first slot. */
  readonly lastAdmittedAt: number | null
}

/**
 * `closed`: no slots. `half_open` after missing answers: one slot at a time. `trial` after a refusal: one slot while no
 * other submission starts, for a project that was not refused, and a generation that was not refused.
 */
export type GateInLine =
  | { readonly kind: 'open' | 'closed' | 'half_open' }
  | { readonly kind: 'trial'; readonly refusedProjectId: string | null }

/** The line in front of one upstream. */
export interface Line {
  /** The models that the upstream renders. Generations of other models wait for another upstream. */
  readonly models: readonly string[]
  readonly slots: number
  readonly slotsPerModel: Readonly<Record<string, number>>
  readonly gate: GateInLine
  readonly projects: readonly ProjectInLine[]
  readonly waiting: readonly Waiting[]
  readonly taken: readonly TakenSlot[]
}

/** The ids of the generations that get the free slots, in the order of their turns. */
export function nextInLine(line: Line): string[] {
  const free = freeSlots(line)
  const places = line.projects
    .filter((project) => !project.isPaused)
    .flatMap((project) => placesOf(line, project, free))
    .sort(byTurn)
  return withinModels(line, places)
    .slice(0, free)
    .map((place) => place.id)
}

/** A generation with the turn of its project: the slots of the project once the generation has a slot. */
interface Place extends Waiting {
  readonly turn: number
  readonly trialRank: number
  readonly lastAdmittedAt: number
}

function freeSlots({ models, slots, gate, taken }: Line): number {
  const own = taken.filter((slot) => models.includes(slot.model))
  if (gate.kind === 'closed') return 0
  if (gate.kind === 'trial' && own.some((slot) => slot.kind === 'starting')) return 0
  const free = Math.max(0, slots - takenOf(own, slots))
  return gate.kind === 'open' ? free : Math.min(1, free)
}

/** Kept slots take a quarter of a limit at most, and never the last slot. */
function takenOf(slots: readonly TakenSlot[], limit: number | null): number {
  const kept = slots.filter((slot) => slot.kind === 'kept').length
  const keptMax = limit === null ? kept : Math.max(0, Math.min(Math.ceil(limit / 4), limit - 1))
  return slots.length - kept + Math.min(kept, keptMax)
}

/** The generations of a project that may get a slot: within a project, the order is by priority, then by age. */
function placesOf(line: Line, project: ProjectInLine, free: number): Place[] {
  const { models, gate, waiting, taken } = line
  const own = waiting.filter((one) => one.projectId === project.id)
  // A project's slots count at whatever upstream they are.
  const before = takenOf(
    taken.filter((slot) => slot.projectId === project.id),
    project.maxInFlight,
  )
  return models
    .flatMap((model) => {
      const inOrder = own.filter((one) => one.model === model && one.isAdmissible).sort(byPriority)
      const rows = Math.min(free, leftOf(line, model))
      const untried = gate.kind === 'trial' && rows > 0 ? inOrder.filter((one) => !one.wasTried).slice(0, 1) : []
      return [...new Set([...inOrder.slice(0, rows), ...untried])]
    })
    .sort(byPriority)
    .map((one, index) => ({
      ...one,
      turn: before + index + 1,
      trialRank: gate.kind !== 'trial' ? 0 : Number(gate.refusedProjectId === project.id) * 2 + Number(one.wasTried),
      lastAdmittedAt: project.lastAdmittedAt ?? Number.NEGATIVE_INFINITY,
    }))
    .filter((place) => place.turn <= (project.maxInFlight ?? Number.POSITIVE_INFINITY))
}

function leftOf({ slotsPerModel, taken }: Line, model: string): number {
  const limit = slotsPerModel[model]
  if (limit === undefined) return Number.POSITIVE_INFINITY
  const own = taken.filter((slot) => slot.model === model)
  return Math.max(0, limit - takenOf(own, limit))
}

/** Leaves out what is beyond the slots of its model; `places` are in the order of their turns. */
function withinModels(line: Line, places: readonly Place[]): Place[] {
  const given = new Map<string, number>()
  return places.filter(({ model }) => {
    given.set(model, (given.get(model) ?? 0) + 1)
    return (given.get(model) ?? 0) <= leftOf(line, model)
  })
}

/** The project with fewer slots is first, then the project that has waited longer for a slot. */
function byTurn(a: Place, b: Place): number {
  // Not a difference: the times of two projects without a slot are infinite.
  const byTime = a.lastAdmittedAt === b.lastAdmittedAt ? 0 : a.lastAdmittedAt - b.lastAdmittedAt
  return a.trialRank - b.trialRank || a.turn - b.turn || byTime || byPriority(a, b)
}

function byPriority(a: Waiting, b: Waiting): number {
  return b.priority - a.priority || (a.id < b.id ? -1 : 1)
}
