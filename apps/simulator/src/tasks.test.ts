import { describe, expect, it } from 'vitest'
import { createAnswer, pollAnswer } from './answers.ts'
import type { CreateRequest } from './create-request.ts'
import { seededRandom } from './random.ts'
import { readTags } from './tags.ts'
import { phaseAt, type Task, Tasks } from './tasks.ts'

const START = 1_761_635_478_900
const URL = 'http://127.0.0.1/files/x.mp4'
const DAY_MS = 86_400_000

function accept(tags: string, tasks = new Tasks(seededRandom(1), 1)): Task {
  const request: CreateRequest = { model: 'openAiSora2Plus', prompt: tags, size: '720x1280', seconds: 4 }
  const behaviour = readTags(tags)
  if ('problem' in behaviour) throw new Error(behaviour.problem)
  return tasks.create(request, behaviour, START)
}

describe('a task', () => {
  it('goes queued, processing, completed, and never back', () => {
    const task = accept('')
    const seen: string[] = []
    for (let now = START; now <= task.endsAtMs + 1000; now += 500) {
      const phase = phaseAt(task, now)
      if (seen.at(-1) !== phase) seen.push(phase)
    }
    expect(seen).toEqual(['queued', 'processing', 'completed'])
  })

  it('takes exactly the render time of its tag, whatever the speed', () => {
    const task = accept('[sim:render=500]', new Tasks(seededRandom(1), 1000))
    expect(phaseAt(task, START + 499)).toBe('processing')
    expect(phaseAt(task, START + 500)).toBe('completed')
  })

  it('renders faster by the speed factor', () => {
    const slow = accept('', new Tasks(seededRandom(1), 1))
    const fast = accept('', new Tasks(seededRandom(1), 60))
    expect((slow.endsAtMs - START) / (fast.endsAtMs - START)).toBeCloseTo(60, 1)
  })

  it('that is told to fail has failed at the first poll', () => {
    const task = accept('[sim:fail=content policy]')
    expect(pollAnswer(task, URL, START)).toMatchObject({ status: 'failed', error: 'content policy' })
  })

  it('that is stuck never ends by itself', () => {
    expect(phaseAt(accept('[sim:stuck]'), START + 365 * DAY_MS)).toBe('processing')
  })

  it('is forgotten 24 hours after its end, or after the life of its tag', () => {
    const tasks = new Tasks(seededRandom(1), 1)
    const task = accept('[sim:render=0]', tasks)
    expect(tasks.find(task.id, START + DAY_MS - 1)).toBe(task)
    expect(tasks.find(task.id, START + DAY_MS)).toBeUndefined()
    const brief = accept('[sim:render=0][sim:life=50]', tasks)
    expect(tasks.find(brief.id, START + 50)).toBeUndefined()
  })

  it('gives every style of id only once', () => {
    const tasks = new Tasks(seededRandom(1), 1)
    const ids = ['sora', 'video', 'proj', 'mcp', 'odd'].flatMap((style) => [
      accept(`[sim:idstyle=${style}]`, tasks).id,
      accept(`[sim:idstyle=${style}]`, tasks).id,
    ])
    expect(new Set(ids).size).toBe(10)
  })
})

describe('Tasks.setSpeed', () => {
  it('shortens what is left of running renders and leaves exact ones alone', () => {
    const tasks = new Tasks(seededRandom(1), 1)
    const task = accept('', tasks)
    const exact = accept('[sim:render=9000]', tasks)
    const left = task.endsAtMs - (START + 1000)
    tasks.setSpeed(10, START + 1000)
    expect(task.endsAtMs - (START + 1000)).toBe(Math.round(left / 10))
    expect(exact.endsAtMs).toBe(START + 9000)
  })

  it('leaves a stuck task stuck', () => {
    const tasks = new Tasks(seededRandom(1), 1)
    const task = accept('[sim:stuck]', tasks)
    tasks.setSpeed(1e9, START)
    expect(phaseAt(task, START + DAY_MS)).toBe('processing')
  })
})

describe('answers', () => {
  it('have the documented shape', () => {
    const task = accept('[sim:render=10]')
    const base = { id: task.id, object: 'video.generation', created: 1_761_635_478, model: 'openAiSora2Plus' }
    expect(createAnswer(task)).toEqual({ ...base, status: 'queued' })
    expect(pollAnswer(task, URL, START)).toEqual({ ...base, status: 'queued' })
    const completed = pollAnswer(task, URL, START + 10)
    expect(completed).toEqual({ ...base, status: 'completed', video_url: URL, actualDuration: 4.042 })
  })

  it('put the id where the tag says', () => {
    const top = accept('[sim:id=taskId]')
    expect(createAnswer(top)).toMatchObject({ taskId: top.id, status: 'queued' })
    expect(createAnswer(top)).not.toHaveProperty('id')
    const inner = accept('[sim:id=data.projectId]')
    expect(createAnswer(inner)).toEqual({ code: '0', msg: null, data: { projectId: inner.id } })
  })

  it('put the URL where the tag says', () => {
    expect(pollAnswer(accept('[sim:render=0][sim:url=result_url]'), URL, START)).toMatchObject({ result_url: URL })
    const nested = pollAnswer(accept('[sim:render=0][sim:url=data.url]'), URL, START)
    expect(nested).toMatchObject({ status: 'completed', data: { url: URL } })
    expect(nested).not.toHaveProperty('video_url')
  })

  it('withhold the URL for the first two completed answers', () => {
    const task = accept('[sim:render=0][sim:nourl=2]')
    const urls = [0, 1, 2].map(() => pollAnswer(task, URL, START).video_url)
    expect(urls).toEqual([undefined, undefined, URL])
  })

  it('carry cost, nulls, wrapping and an error object on demand', () => {
    const task = accept('[sim:failobject=no][sim:amount="0.80"][sim:tokens][sim:nulls][sim:wrap]')
    expect(createAnswer(task)).toMatchObject({ code: 0, msg: null, data: { id: task.id, error: null } })
    const answer = { status: 'failed', error: { message: 'no' }, video_url: null, amount: '0.80', totalTokens: 108000 }
    expect(pollAnswer(task, URL, START)).toMatchObject({ code: 0, data: answer })
  })
})
