// Package gateway serves flows over HTTP: listeners that outlive
// configurations, routes that are found in time independent of their number,
// errors rendered in one place, and the admin endpoints.
//
// # Life of a request
//
// A [Listener] accepts the connection and hands each request to the handler
// that the current generation has put there with [Listener.Swap]. That handler
// is what [NewHandler] builds around a [Router]. Its order is fixed:
//
//  1. record: the [Request], with route, variables, id, deadline and the
//     writer that counts. All below refers to it. Metrics and the failure log
//     are written here when the answer is over, so that an answer made by any
//     layer below, recover included, is counted like any other.
//  2. recover: outside everything that can fail.
//  3. strict: requests that two parsers may read differently are refused
//     before anything decides by what they say. So are bodies over their cap.
//  4. cors: a preflight carries no credentials, so it is answered before auth.
//  5. auth: who asks, before what they may use up.
//  6. limits: per consumer, so after auth; before anything costs much.
//  7. cache: an answer from the cache still counts against a limit, and is
//     never given to someone whom auth refused.
//  8. validation: only what a cache could not answer needs to be well-formed.
//  9. dispatch: the route's flow, or 404, 405, and OPTIONS.
//
// Layers 4 to 8 are the places of policies; there are none yet.
//
// Routing happens in the first layer, its verdict is carried out in the last:
// a policy thus sees which route it guards, and also runs for requests that
// have none.
package gateway
