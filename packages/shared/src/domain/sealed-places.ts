// The places of sealed values. Each value is bound to its place, so a person who can write to the database cannot move
// a value to another row. The id in a place names the table.

/** The signing secret of a project or an endpoint, present or previous. */
export const secretPlace = (id: string) => `${id} secret`

/** A custom header of an endpoint. */
export const headerPlace = (endpointId: string, name: string) => `${endpointId} header ${name}`
