// Where sealed values are kept: each is bound to its place, so that whoever can write to the database cannot move one to another row.
// Ids name their table.

/** The signing secret of a project or an endpoint, also of those before the present one. */
export const secretPlace = (id: string) => `${id} secret`

/** A custom header of an endpoint. */
export const headerPlace = (endpointId: string, name: string) => `${endpointId} header ${name}`
