// Package policies holds what a gateway does with requests before a flow sees
// them: a file for each policy, named by its key.
//
// A policy is written in a bundle: below the section policies, at a gateway or
// at the trigger of a route. It is compiled once where it is written, and what
// it counts or keeps is shared by all the routes that it applies to. A route has
// the policies of its gateway and its own; which of them stands outside of which
// is fixed by All, with the reason for each place.
package policies
