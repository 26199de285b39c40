// Package mesh is a resilient HTTP client for one service with several endpoints.
//
// [Open] gives a [Service], which is an [net/http.RoundTripper]: it fits into an
// http.Client, a ReverseProxy or a hand-written handler. [Service.Do] is the same
// call with a [Call] beside it, which says how the reply is wanted and reports
// how many attempts it took.
//
// # The stack
//
// Every call passes the same layers in the same order. The order is the design;
// each layer stands where it does for one reason.
//
//  1. Total deadline: the caller's context, and [Config].Deadline. It is outermost
//     because it is the only promise the caller has been given: attempts and the
//     waits between them are all paid from it, and nothing is started that it
//     cannot hold.
//  2. Version ([Config].Versions). Outside everything that makes attempts, so that
//     they all go to the same one: a user sees one version or the other, and
//     what fails is seen to be of it. One that has no usable endpoint is left
//     only where [Version].Fallback says so, when an endpoint is picked.
//  3. Injected faults ([Inject]). Outside everything that helps against failures:
//     they are for seeing what callers do when none of that has helped.
//  4. Limit of the service. Inside the deadline, which bounds the wait for a place.
//     Outside the rest: a call holds one place with all its attempts to the end of
//     its reply, and what is refused costs nothing further and says nothing about
//     the service. One that adapts ([Adaptive]) learns from attempts, as breakers
//     do: a call has pauses of its own making. Who waits goes by [Call].Priority.
//  5. Breaker of the service. Outside retry, because it counts what callers got:
//     a call that fails in spite of all its attempts. Inside the deadline, so
//     that callers who had no time left do not speak against the service.
//  6. Credentials ([Config].Credentials). Outside retry, because what is waited
//     for is the same for all attempts and no endpoint is to be kept waiting for it;
//     inside the limit, so that those who wait are bounded, too. An attempt that
//     they fail, with status 401, is repeated once with others.
//  7. Mirror ([Config].Mirror). Inside everything that refuses calls, so that
//     what is copied is what is called; outside retry, so that a call is copied
//     once. The copy goes to its version at once, past all layers before the
//     pick: whatever becomes of it is nothing that calls are to know.
//  8. Retry, within its budget. Outside everything that belongs to one endpoint,
//     so that each attempt is free to go elsewhere and is seen by the breaker of
//     the endpoint it went to. The budget belongs to the service, because it is
//     the service that many calls overload together; it is asked last and before
//     the wait, so that a denial costs the caller nothing.
//  9. Hedge. Inside retry, so that an attempt and its hedge are one failure if
//     both fail; outside the choice of an endpoint, because it goes to another.
//     It takes from the same budget: both are load that nobody asked for.
//  10. Rate ([Rate]). Inside retry and hedge, because what is promised is how many
//     requests there are, whoever makes them; outside the choice of an endpoint,
//     so that nobody holds a place there while waiting for a turn.
//  11. Pick endpoint. Inside retry, so that a second attempt prefers an endpoint
//     that has not failed this call; outside the breaker, because breakers
//     belong to endpoints, and one that is open is a reason to pick another
//     rather than to fail. What is there to pick from may be looked for
//     ([Config].Endpoints), is waited for before the first attempt if nothing is
//     known yet, and is asked for anew by each attempt. The endpoint that a caller
//     is kept with ([Config].Affinity) comes first, if it is usable.
//     Draining, priority and zone decide, in this order, which endpoints the
//     balancer is shown; the next ones are for when none of those is usable.
//     Ejection is asked here and not behind the breaker, because it compares
//     endpoints; so is what checks of their health found ([Health]), which go over
//     the transport and through nothing else of this list. If too few are left
//     ([Config].Panic), all that and the breakers are passed over. An endpoint that
//     is new passes a part of its attempts on, outside the balancer, so that none
//     has to know of it.
//  12. Breaker of the endpoint. It counts attempts, not calls: a call that
//     succeeds on its second endpoint still leaves its mark on the first.
//  13. Limit of the endpoint. Innermost of what refuses, with the choice: an
//     endpoint without room is passed over, and only when none has room does the
//     call wait, in the queue of the service. A hedge never waits.
//  14. Attempt timeout, and the header that tells what is left of it. Innermost of
//     the policies, so that a timeout is an outcome which the breaker counts and
//     retry may act on, where the expiry of the caller's own deadline is neither.
//  15. Transport. HTTP/1.1 goes through package h1, with TLS or without; HTTP/2 (by
//     ALPN, or as [Config].Protocol says) through a tuned net/http.Transport.
//
// # What is retried
//
// A method that is idempotent by RFC 9110 section 9.2.2, or a request that carries
// an idempotency key, when the body can be replayed (there is none, Request.GetBody
// is set, or no more than [Retry].Replay of it has been read) and the outcome is
// one of [Retry].On. Any other request is retried only if it provably was not
// sent: the connection was never made, or the stream refused; or if the endpoint
// refused its credentials, which it does before it acts. The reply of a
// retried attempt is drained, within bounds, and closed.
//
// # Whose fault it was
//
// A failed call returns an [*Error] whose [Class] tells the caller's cancellation
// ([Canceled]), the caller's deadline ([Deadline]) and the attempt's own timeout
// ([Timeout]) apart. The first two say nothing about the endpoint, so breakers
// are neutral to them. A caller who bounds the call alone, with a shorter timeout
// than the service's, says so with the cause of its context: one that matches
// os.ErrDeadlineExceeded is a Timeout. One who has no use for the reply any more,
// because another call has brought what this one was for, says so with a cause that
// has a method Unneeded() bool: the call then counts as no failure at all, not even
// as a cancellation. How long it had taken by then is still the least that it would
// have taken, so that balancers and hedges do not forget who was slow.
//
// # Calls that belong together
//
// A caller that makes several calls for one purpose knows what no call can: with
// [Call].UsefulUntil, how much time it needs after this one; with [Call].Ledger, how
// many attempts all of them may take together; with [Call].Slack, whether anyone
// waits for this one, or for another that takes longer. They are asked behind
// everything that is known here, when a retry or a hedge is about to begin: a call
// that is answered at once costs nothing of it.
package mesh
