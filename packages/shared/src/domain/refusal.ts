// The seven classes of a certain refusal. The adapter decides the class; all other code reads the class and never an
// HTTP number.

/**
 * - `request`: the provider refused this request (a wrong field, an unknown model).
 * - `moderation`: the provider refused the content of this request.
 * - `account`: the paying account is refused (key, balance, quota, suspension). Every other request would be refused
 * too.
 * - `rate`: too many requests for now.
 * - `capacity`: the provider has no room for now.
 * - `unreachable`: the request certainly never reached the provider.
 * - `configuration`: the answer does not come from the provider's API (a web server's page, a redirect):
 * UPSTREAM_BASE_URL is wrong.
 */
export type RefusalClass = 'request' | 'moderation' | 'account' | 'rate' | 'capacity' | 'unreachable' | 'configuration'
