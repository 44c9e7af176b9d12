// Why a generation is where it is, in a code and in words.

import { z } from 'zod'
import { WHO_ACTS, WHY_CODES } from '../../terms/why.ts'

const instant = z.iso.datetime()

export const whyJson = z
  .object({
    code: z.enum(WHY_CODES),
    words: z.string().describe('One sentence for people.'),
    since: instant.nullable(),
    until: instant.nullable().describe('When it changes by itself; null without an estimate.'),
    next: z.enum(WHO_ACTS).describe('Who acts next.'),
    actions: z
      .array(z.enum(['retry', 'cancel', 'adopt', 'resume_submitting', 'resume_project', 'raise_slots', 'start_worker']))
      .describe('What an operator may do about it.'),
  })
  .meta({ id: 'Why' })
