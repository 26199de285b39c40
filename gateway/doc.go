// Package gateway serves flows over HTTP: listeners that outlive
// configurations, routes that are found in time independent of their number,
// errors rendered in one place, and the admin endpoints.
//
// # Life of a request
//
// A [Listener] accepts the connection. Package h1 serves it if it is one of
// HTTP/1.1, and refuses what is none; net/http serves HTTP/2. Each request goes to
// the handler that the current generation has put there with [Listener.Swap]. It
// is what [NewHandler] builds around a [Router]. Its order is fixed:
//
//  1. record: the [Request], with route, variables, id, deadline and the
//     writer that counts. All below refers to it. Metrics and the failure log
//     are written here when the answer is over, so that an answer made by any
//     layer below, recover included, is counted like any other.
//  2. recover: outside everything that can fail.
//  3. strict: requests that are well formed and still leave doubt whom they are
//     for are refused before anything decides by what they say. So are bodies
//     over their cap.
//  4. policies: those of the route, or of the gateway where no route takes the
//     request, in the order of gateway/policies.
//  5. dispatch: the route's flow, or 404, 405, and OPTIONS.
//
// Routing happens in the first layer, its verdict is carried out in the last:
// a policy thus sees which route it guards, and also runs for requests that
// have none.
package gateway
