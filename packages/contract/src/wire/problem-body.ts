// The body of a refusal: a problem of RFC 9457 with a stable `code`.

import { z } from 'zod'
import { PROBLEMS, type ProblemCode } from '../terms/problem.ts'

export const PROBLEM_TYPE = 'application/problem+json'

export const problemJson = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
    detail: z.string(),
    request_id: z.string().describe('The id of the request in the log and in the header `X-Request-Id`.'),
    message: z.string().optional().describe('The same as `detail`; only on the routes in the shape of the provider.'),
    error: z.string().optional().describe('The same as `detail`; only on the routes in the shape of the provider.'),
    errors: z
      .array(
        z.object({
          field: z.string(),
          rule: z.string(),
          allowed: z.unknown(),
          message: z.string().describe('A description of the error.'),
          did_you_mean: z
            .string()
            .optional()
            .describe('The value of `allowed` that is most similar to the given value.'),
          line: z.int().optional().describe('Number of the item in its batch, from 1.'),
        }),
      )
      .optional(),
    total: z.int().optional().describe('The number of wrong fields; `errors` lists the first hundred.'),
  })
  .meta({ id: 'Problem' })
