// The locations of values in the replies of video APIs: a table for each question. A path consists of field names and
// array indexes; the first path with a usable value counts. Each shape was seen in a reply or in documentation; the
// tests beside parse-create.ts and parse-poll.ts have samples.

export type Fields = Readonly<Record<string, unknown>>

/** The created task's id. `request_id` is excluded: next to other ids it names the request. */
export const TASK_ID_PATHS = paths(
  'id data.id task_id data.task_id taskId data.taskId projectId data.projectId ' +
    'output.task_id result.task_id result.taskId task.id task.task_id Resp.video_id video_id data.video_id',
)

/** Next to only these fields, `request_id` is the task id: no other field of the reply names the task. */
export const BESIDE_REQUEST_ID: ReadonlySet<string> = new Set([
  'request_id',
  'status',
  'status_url',
  'response_url',
  'cancel_url',
  'queue_position',
  'logs',
  'metrics',
  'object',
  'model',
  'created',
  'created_at',
])

/** The task's state: the outer word, and the word of the inner task. */
export const OUTER_STATUS_PATHS = paths('status task_status taskStatus state')
export const INNER_STATUS_PATHS = paths(
  'data.status data.task_status data.taskStatus data.state output.task_status output.status result.status task.status Resp.status',
)

/** The video link. */
export const VIDEO_URL_PATHS = paths(
  'video_url data.video_url videoUrl data.videoUrl result_url data.result_url content_url data.content_url url data.url ' +
    'video.url data.video.url content.video_url data.content.video_url content.url output.video_url data.output.video_url ' +
    'output.url data.output.url output.video.url output data.output output.0 data.output.0 output.0.url output.videos.0.url ' +
    'data.task_result.videos.0.url task_result.videos.0.url task_result.video_url videos.0.url data.videos.0.url ' +
    'videos.0.video_url videos.0 data.videos.0 generations.0.url generations.0.video.url data.generations.0.url ' +
    'result.url result.video_url data.result.url data.result.video_url result.video.url result.videos.0.url result ' +
    'assets.video data.assets.video creations.0.url data.creations.0.url video data.video metadata.url Resp.url ' +
    'urls.0',
)

/** The reason of a failure, as text. */
export const REASON_PATHS = paths(
  [
    ...[
      'error',
      'fail_reason',
      'failReason',
      'failure_reason',
      'failureReason',
      'failure',
      'error_message',
      'errorMessage',
    ],
    ...[
      'error_msg',
      'errorMsg',
      'task_status_msg',
      'fail_msg',
      'status_msg',
      'reason',
      'message',
      'msg',
      'detail',
      'errors',
    ],
  ]
    .flatMap((name) => [name, `data.${name}`])
    .concat(
      'output.message',
      'output.error',
      'result.error',
      'base_resp.status_msg',
      'ErrMsg',
      'task_result',
      'data.task_result',
    )
    .join(' '),
)

/** The provider's code of a failure. */
export const FAILURE_CODE_PATHS = paths(
  'error.code data.error.code error.type data.error.type failureCode failure_code fail_code data.fail_code error_code data.error_code errorCode data.errorCode err_code data.err_code output.code detail.0.type',
)

/** An envelope's error code; some providers set a code for success too. */
export const ENVELOPE_CODE_PATHS = paths('code base_resp.status_code ErrCode error_code errcode')

/** The expiry of the link: a time, or seconds from now for names with `in`. */
export const EXPIRY_PATHS = paths(
  [
    'expires_at',
    'expire_at',
    'expiresAt',
    'expireAt',
    'expires_in',
    'expiresIn',
    'url_expires_at',
    'video_url_expires_at',
  ]
    .flatMap((name) => [name, `data.${name}`, `output.${name}`, `video.${name}`, `result.${name}`])
    .join(' '),
)

export type Path = readonly string[]

function paths(list: string): readonly Path[] {
  return list.split(' ').map((path) => path.split('.'))
}

/** The value at a path, or undefined. Only own fields are read. */
export function at(top: Fields, path: Path): unknown {
  let value: unknown = top
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = Reflect.get(value, name)
  }
  return value
}

/** The first value at any of the paths accepted by `read`. */
export function firstAt<T>(top: Fields, list: readonly Path[], read: (value: unknown) => T | null): T | null {
  for (const path of list) {
    const value = read(at(top, path))
    if (value !== null) return value
  }
  return null
}
