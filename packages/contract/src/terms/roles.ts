// The roles of operators, and what each role may do. The API refuses by this table, and the console explains by it.

/** `operator`: everything. `viewer`: reads all projects. `member`: reads one project. */
export const ROLES = ['operator', 'viewer', 'member'] as const
export type Role = (typeof ROLES)[number]

/** What a request does. `see_all`: reads across projects. `act`: changes something. `manage`: operators and secrets. */
export type Permission = 'see' | 'see_all' | 'act' | 'manage'

const PERMISSIONS: Readonly<Record<Role, readonly Permission[]>> = {
  operator: ['see', 'see_all', 'act', 'manage'],
  viewer: ['see', 'see_all'],
  member: ['see'],
}

/** Whether the role has the permission. */
export function may(role: Role, permission: Permission): boolean {
  return PERMISSIONS[role].includes(permission)
}
