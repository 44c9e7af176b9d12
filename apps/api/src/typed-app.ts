// Registers routes from the table of the contract. A row types its handler; a route without a row does not compile, and a row
// without a handler stops the start.

import { type OperationId, ROUTES } from '@reelqueue/contract/routes'
import type { Caller, Route } from '@reelqueue/contract/routes/route'
import type {
  ContextConfigDefault,
  FastifyContextConfig,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
  RouteGenericInterface,
  RouteHandlerMethod,
} from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { schemaOf } from './openapi.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route's row in the table. */
    operationId?: OperationId
  }
}

type Row<Id extends OperationId> = (typeof ROUTES)[Id]
type IdOf<C extends Caller> = { [Id in OperationId]: Row<Id>['caller'] extends C ? Id : never }[OperationId]

type Part<R, Name extends string, FastifyName extends string> =
  R extends Readonly<Record<Name, infer Schema>> ? Record<FastifyName, Schema> : unknown
type ReplySchemas<Replies> = {
  [Status in keyof Replies]: Replies[Status] extends { readonly mediaType: string; readonly schema: infer Schema }
    ? Schema
    : Replies[Status]
}
type SchemaOf<R extends Route> = Part<R, 'params', 'params'> &
  Part<R, 'query', 'querystring'> &
  Part<R, 'headers', 'headers'> &
  Part<R, 'body', 'body'> & { response: ReplySchemas<R['replies']> }

export type Handler<Id extends OperationId> = RouteHandlerMethod<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  RouteGenericInterface,
  ContextConfigDefault,
  SchemaOf<Row<Id>>,
  ZodTypeProvider
>
export type RequestOf<Id extends OperationId> = Parameters<Handler<Id>>[0]

/** Registers the handler of one row whose caller is `C`. */
export type Serve<C extends Caller> = <Id extends IdOf<C>>(
  id: Id,
  handler: Handler<Id>,
  config?: FastifyContextConfig,
) => void

/** `fastify` must have the login of caller `C` among its hooks. */
export function routesFor<C extends Caller>(fastify: FastifyInstance): Serve<C> {
  return (id, handler, config = {}) => {
    const row: Route = ROUTES[id]
    fastify.route({
      method: row.method,
      url: row.path.replace(/\{(\w+)\}/g, ':$1'),
      schema: schemaOf(id, row),
      config: { ...config, operationId: id },
      handler: handler as unknown as RouteHandlerMethod,
    })
  }
}

/**
 * Compares what is registered from now on with the table. Throws for a documented route without a row; the returned function throws for
 * a row without a handler.
 */
export function compareWithTable(fastify: FastifyInstance): () => void {
  const unserved = new Set<string>(Object.keys(ROUTES))
  fastify.addHook('onRoute', ({ method, url, schema, config }) => {
    const { operationId } = config ?? {}
    if (operationId !== undefined) unserved.delete(operationId)
    else if (!(schema as { readonly hide?: boolean } | undefined)?.hide)
      throw new Error(`${method} ${url} has no row in the table of routes`)
  })
  return () => {
    if (unserved.size > 0) throw new Error(`no handler for ${[...unserved].join(', ')} of the table of routes`)
  }
}
