// Package engine is the machine that flows run on.
//
// A Compiler turns the steps of a flow into a Program: immutable, composed
// once, shared by all requests. What belongs to one request, or to one round of
// a loop in it, is in its Exchange. Step.Run is all that leaf and composite
// steps have in common, and Value keeps a body as bytes until someone looks
// inside.
package engine
