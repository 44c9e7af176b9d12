// The deliveries that this process was woken for, until each has its turn, fair by project. A job ends as soon as its delivery
// waits here: a project with thousands of servers that do not answer holds neither the queue nor the others' turns. What does not fit,
// or is lost with the process, is due in Postgres, and reconcile wakes it again.

/** Runs under way: in all; of one project; and of one project to servers that are not known to answer. */
const RUNS_MAX = 1_000
const PROJECT_RUNS_MAX = 500
const PROJECT_UNPROVEN_MAX = 50
/** Kept free for projects that have next to nothing under way. */
const RESERVED = 200
const NEXT_TO_NOTHING = 5
/** Deliveries that wait here: of one project, and in all. */
const PROJECT_WAITING_MAX = 5_000
const WAITING_MAX = 50_000

export interface DeliveryRun {
  readonly id: string
  readonly projectId: string
  /** Whether the server is known to answer; asked again when the run could begin. */
  readonly isProven: () => boolean
  readonly run: () => Promise<void>
}

export interface DeliveryTurns {
  /** Begins it, now or later. One that waits already is not taken twice; where too many wait, it is left to reconcile. */
  add(run: DeliveryRun): void
  /** After the stop, once nothing is added any more. @returns when all have ended that had begun: the ids of those that had not */
  idle(): Promise<string[]>
}

interface Project {
  underWay: number
  unproven: number
  /** In their order, by whether their servers were known to answer when they were looked at last. */
  readonly waiting: Record<'proven' | 'unproven', DeliveryRun[]>
}

const waitingOf = ({ waiting }: Project) => waiting.proven.length + waiting.unproven.length

/**
 * @param onError hears of a run that rejects
 * @param stopping from then on no run begins; what is added still waits, to be handed back
 */
export function createDeliveryTurns(
  onError: (id: string, error: unknown) => void,
  stopping: AbortSignal,
): DeliveryTurns {
  /** Those with a run under way or waiting; the one that began a run last comes last. */
  const projects = new Map<string, Project>()
  const waiting = new Set<string>()
  const running = new Set<Promise<void>>()

  /** The next run of a project that may begin, taken out. */
  function take(project: Project): { run: DeliveryRun; isProven: boolean } | null {
    const { underWay, unproven } = project
    const { proven, unproven: untried } = project.waiting
    const free = RUNS_MAX - (underWay < NEXT_TO_NOTHING ? 0 : RESERVED) - running.size
    if (free <= 0 || underWay >= PROJECT_RUNS_MAX) return null
    for (let run = proven.shift(); run; run = proven.shift()) {
      if (run.isProven()) return { run, isProven: true }
      untried.push(run)
    }
    const run = unproven < PROJECT_UNPROVEN_MAX ? untried.shift() : undefined
    return run ? { run, isProven: run.isProven() } : null
  }

  function begin(
    projectId: string,
    project: Project,
    { run: { id, run }, isProven }: { run: DeliveryRun; isProven: boolean },
  ): void {
    waiting.delete(id)
    project.underWay++
    if (!isProven) project.unproven++
    projects.delete(projectId)
    projects.set(projectId, project)
    const ended = run()
      .catch((error) => onError(id, error))
      .then(() => {
        running.delete(ended)
        project.underWay--
        if (!isProven) project.unproven--
        if (project.underWay === 0 && waitingOf(project) === 0) projects.delete(projectId)
        beginAll()
      })
    running.add(ended)
  }

  function beginAll(): void {
    if (stopping.aborted) return
    // One that begins a run is put at the end, and comes again in this very loop.
    for (const [projectId, project] of projects) {
      if (running.size >= RUNS_MAX) return
      const next = take(project)
      if (next) begin(projectId, project, next)
    }
  }

  return {
    add(run) {
      if (waiting.has(run.id)) return
      const project = projects.get(run.projectId) ?? { underWay: 0, unproven: 0, waiting: { proven: [], unproven: [] } }
      const isFull = waitingOf(project) >= PROJECT_WAITING_MAX
      if (isFull || (waiting.size >= WAITING_MAX && waitingOf(project) >= NEXT_TO_NOTHING)) return
      projects.set(run.projectId, project)
      waiting.add(run.id)
      project.waiting[run.isProven() ? 'proven' : 'unproven'].push(run)
      beginAll()
    },
    async idle() {
      await Promise.all(running)
      return [...waiting]
    },
  }
}
