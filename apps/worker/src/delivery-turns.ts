// The deliveries enqueued for this process and waiting for a turn, fair by project. A job ends as soon as the delivery
// waits here, so a project with thousands of silent servers blocks neither the queue nor the turns of other projects. A
// delivery without room here, or lost with the process, is due in Postgres, and reconcile enqueues the delivery again.

/** Limits of running deliveries: in total; for a project; for a project's servers not known to answer. */
const RUNS_MAX = 1_000
const PROJECT_RUNS_MAX = 500
const PROJECT_UNPROVEN_MAX = 50
/** Kept free for projects with very few running deliveries. */
const RESERVED = 200
const NEXT_TO_NOTHING = 5
/** Limits of waiting deliveries: for a project, and in total. */
const PROJECT_WAITING_MAX = 5_000
const WAITING_MAX = 50_000

export interface DeliveryRun {
  readonly id: string
  readonly projectId: string
  /** Whether the server is known to answer; checked again when the run could begin. */
  readonly isProven: () => boolean
  readonly run: () => Promise<void>
}

export interface DeliveryTurns {
  /**
   * Begins the run, now or later. A delivery already waiting is not added twice; above the limits the delivery is left
   * to reconcile.
   */
  add(run: DeliveryRun): void
  /**
   * Call after the stop, when nothing is added any more. Waits for the running deliveries. @returns the ids of
   * deliveries that never began
   */
  idle(): Promise<string[]>
}

interface Project {
  underWay: number
  unproven: number
  /** In order of arrival, by whether the server was known to answer at the last check. */
  readonly waiting: Record<'proven' | 'unproven', DeliveryRun[]>
}

const waitingOf = ({ waiting }: Project) => waiting.proven.length + waiting.unproven.length

/**
 * @param onError receives the error of a rejected run
 * @param stopping after the abort no run begins; added runs wait, to be handed back
 */
export function createDeliveryTurns(
  onError: (id: string, error: unknown) => void,
  stopping: AbortSignal,
): DeliveryTurns {
  /** Projects with running or waiting deliveries; the project with the latest begun run comes last. */
  const projects = new Map<string, Project>()
  const waiting = new Set<string>()
  const running = new Set<Promise<void>>()

  /** Removes and returns the next run of a project, if a run may begin. */
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
    // A project with a begun run moves to the end, and this loop visits the project again.
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
