// What the commits of steps lead to, counted with the queues' own jobs while no worker runs and nothing reconciles: each expectation
// says all that is enqueued and asked for. `submit` counts what was admitted: a generation of another project always waits.

import type { PollAnswer } from '@reelqueue/shared/providers/port'
import { noteFailure } from '@reelqueue/shared/store/admission/gate-answers'
import { startCoolDown } from '@reelqueue/shared/store/deliveries/cool-downs'
import { complete } from '@reelqueue/worker/steps/complete'
import { attemptDue } from '@reelqueue/worker/steps/deliver'
import { finishBatch } from '@reelqueue/worker/steps/finish-batch'
import { probe, probeForever } from '@reelqueue/worker/steps/probe'
import { reconcile } from '@reelqueue/worker/steps/reconcile'
import { submit } from '@reelqueue/worker/steps/submit'
import { writeAnswers } from '@reelqueue/worker/write-answers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { HOOK, startCounting } from './support/after-commit.ts'
import { attemptsOn, NO_VIDEO, VIDEO } from './support/attempts.ts'
import { BACKENDS } from './support/pipeline.ts'
import { answer } from './support/scripted-upstream.ts'
import { taskIdOf } from './support/seed.ts'
import { closeEndpoints, endpoint } from './support/webhook-endpoint.ts'

const HOUR_MS = 3_600_000
const accepted = answer(200, { id: 'sora_1', object: 'video.generation', status: 'processing' })

describe.each(BACKENDS)('on %s, with no worker and nothing that reconciles,', (backend) => {
  let counting: Awaited<ReturnType<typeof startCounting>>
  beforeAll(async () => {
    counting = await startCounting(backend)
  })
  beforeEach(() => counting.clear())
  afterEach(closeEndpoints)
  afterAll(() => counting.close())

  const attempts = () => attemptsOn(counting.seed)
  async function completed(webhookUrl: string | null): Promise<void> {
    const id = await counting.seed.processing({ webhookUrl })
    await attempts().answered(id, VIDEO)
    await attempts().complete(id)
  }
  /** A batch's generation with a webhook of its own. */
  const fields = async () => ({ batchId: await counting.batch(), webhookUrl: HOOK })
  const submitting = (id: string) => counting.following(() => submit(counting.deps, id))

  describe('a submission', () => {
    it('that is accepted leads to polls, and to the delivery of that', async () => {
      await counting.endpoint(HOOK, ['generation.processing'])
      counting.provider.play(accepted)
      expect(await submitting(await counting.seed.admitted(await fields()))).toEqual({ deliver: 1, pollerStarts: 1 })
    })

    it('that fails has its delivery enqueued, its batch looked at, its slot given on and its other tasks polled', async () => {
      const ended = { deliver: 1, maintain: 1, submit: 1, pollerStarts: 1 }
      counting.provider.play(answer(200, { code: 1001, msg: 'no' }))
      expect(await submitting(await counting.seed.admitted(await fields()))).toEqual(ended)
      counting.provider.play((_response, { socket }) => socket.destroy())
      expect(await submitting(await counting.seed.admitted(await fields()))).toEqual(ended)
      const { id, submissionId } = await counting.seed.submitting(await fields())
      await counting.seed.sql(`UPDATE submissions SET lease_until = now() - interval '1 s' WHERE id = $1`, [
        submissionId,
      ])
      expect(await submitting(id)).toEqual(ended)
    })

    it('that waits for another try leads to nothing', async () => {
      counting.provider.play(answer(429, {}))
      const id = await counting.seed.admitted()
      await counting.seed.sql('DELETE FROM upstream_gates')
      expect(await submitting(id)).toEqual({})
    })

    it('that is held gives its slot on', async () => {
      const id = await counting.seed.admitted()
      await counting.seed.sql('UPDATE projects SET paused_at = now() WHERE id = $1', [counting.seed.projectId])
      expect(await submitting(id)).toEqual({ submit: 1 })
    })

    it('that opens the gate leads to admission', async () => {
      const id = await counting.seed.admitted()
      // Half open: this one is the trial.
      await counting.seed.sql(`INSERT INTO upstream_gates (upstream, silences) VALUES ('globalai', 4)`)
      counting.provider.play(accepted)
      expect(await submitting(id)).toEqual({ submit: 1, pollerStarts: 1 })
    })

    it('whose previous task has a video after all is completed, and its slot given on', async () => {
      const id = await counting.seed.processing(await fields())
      await attempts().fail(id, 'deadline_exceeded')
      await attempts().retryAdmitted(id)
      await counting.seed.sql(`UPDATE deliveries SET state = 'succeeded', next_attempt_at = NULL, due_at = NULL`)
      const video = { id: taskIdOf(id), object: 'video.generation', status: 'completed', video_url: 'https://v/1' }
      counting.provider.play(answer(200, video))
      expect(await submitting(id)).toEqual({ deliver: 1, maintain: 1, submit: 1, pollerStarts: 1 })
    })
  })

  it('a gate that a probe opens leads to admission, and so does the start of a worker', async () => {
    const { database } = counting.seed
    for (let n = 0; n < 5; n++) await noteFailure(database, 'globalai', false, 1)
    await counting.seed.sql(`UPDATE upstream_gates SET unreachable_since = now() - interval '1 hour'`)
    counting.provider.play(answer(404, { error: 'no such task' }))
    const { deps } = counting
    expect(await counting.following(() => probe(deps))).toEqual({ submit: 1 })
    await counting.seed.sql('DELETE FROM upstream_gates')
    expect(await counting.following(() => probeForever(deps, AbortSignal.abort()))).toEqual({ submit: 1 })
  })

  describe('a poll', () => {
    const PENDING = { kind: 'pending', status: 'processing', completedWithoutUrl: false } as const
    /** What follows once a poll of the generation was answered so, that long after the submission. */
    async function polled(id: string, heard: PollAnswer, elapsedMs = 0) {
      const { status, dispatchCount } = await counting.seed.row(id)
      if (status !== 'processing' && status !== 'failed') throw new Error(`${id} is ${status}`)
      const poll = {
        id,
        upstreamTaskId: taskIdOf(id),
        status,
        dispatchCount,
        elapsedMs,
        pollFailures: 0,
        isAdopted: false,
      }
      const kind = { model: 'openAiSora2Plus', size: null, seconds: null }
      const answers = [{ poll: { ...poll, ...kind }, answer: heard, isBusy: false }]
      return await counting.following(() => writeAnswers(counting.deps, answers))
    }

    it('that reads of a video is followed by all that an end leads to', async () => {
      const id = await counting.seed.processing(await fields())
      expect(await polled(id, VIDEO)).toEqual({ deliver: 1, maintain: 1, submit: 1, rendersNoted: 1 })
    })

    it('that reads of a failure leads to the complete step, and then to all that an end leads to', async () => {
      const id = await counting.seed.processing(await fields())
      expect(await polled(id, NO_VIDEO)).toEqual({ complete: 1 })
      const after = await counting.following(() => complete(counting.deps, id))
      expect(after).toEqual({ deliver: 1, maintain: 1, submit: 1, rendersNoted: 1 })
    })

    it('past the deadline fails the generation; a late success leads to the complete step', async () => {
      const id = await counting.seed.processing(await fields())
      expect(await polled(id, PENDING, HOUR_MS)).toEqual({ deliver: 1, maintain: 1, submit: 1 })
      expect(await polled(id, VIDEO, HOUR_MS)).toEqual({ complete: 1 })
    })

    it('whose answer Postgres refuses to store fails the generation at its deadline', async () => {
      const { sql } = counting.seed
      const id = await counting.seed.processing(await fields())
      await sql(
        `CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused here'; END $$`,
      )
      await sql(`CREATE TRIGGER refuses BEFORE UPDATE ON generations FOR EACH ROW
        WHEN (NEW.status = 'completed') EXECUTE FUNCTION refuse()`)
      const after = await polled(id, VIDEO, HOUR_MS)
      await sql('DROP TRIGGER refuses ON generations')
      expect(after).toEqual({ deliver: 1, maintain: 1, submit: 1 })
    })
  })

  describe('a delivery', () => {
    const attempted = async (id: string) => {
      const dispatched = await counting.deps.batches.findDispatched(id)
      if (!dispatched) throw new Error(`${id} is not due`)
      return await counting.following(() => attemptDue(counting.deps, id, dispatched, new AbortController().signal))
    }
    const pending = async () => (await counting.seed.sql<{ id: string }>('SELECT id FROM deliveries'))[0]?.id ?? ''

    it('that fails at first is attempted again soon', async () => {
      const failing = await endpoint((response) => response.writeHead(500).end())
      await completed(failing.url)
      expect(await attempted(await pending())).toEqual({ retriesSoon: 1 })
    })

    it('to an endpoint that is gone enqueues the others', async () => {
      const gone = await endpoint((response) => response.writeHead(410).end())
      await counting.endpoint(gone.url, ['generation.completed'])
      await counting.endpoint(HOOK, ['endpoint.disabled'])
      await completed(null)
      expect(await attempted(await pending())).toEqual({ deliver: 1 })
    })
  })

  it('the end of a batch has its delivery enqueued', async () => {
    const batchId = await counting.batch()
    expect(await counting.following(() => finishBatch(counting.deps, batchId))).toEqual({ deliver: 1 })
  })

  it('a round of reconcile enqueues what is overdue, ends batches and leads to admission', async () => {
    await counting.seed.admitted()
    await attempts().answered(await counting.seed.processing(), VIDEO)
    await completed('http://127.0.0.1:8/overdue')
    await counting.seed.sql(`UPDATE generations SET due_at = now() - interval '1 s' WHERE due_at IS NOT NULL`)
    // Of a batch that has ended unnoticed. Its server rests, so that only its end enqueues the delivery.
    await counting.batch()
    await startCoolDown(counting.seed.database, `${counting.seed.projectId} ${new URL(HOOK).origin}`, HOUR_MS)
    expect(await counting.following(() => reconcile(counting.deps))).toEqual({ submit: 2, complete: 1, deliver: 2 })
  })
})
