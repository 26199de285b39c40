package suite

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

// Virtual time is that of testing/synctest, which exists for tests of Go: it
// asks for a *testing.T, and a T for the flags of package testing. One that was
// never run is enough, because a bubble uses it only to fail, which nothing here
// does. That a program which is not a test can do this is held by the scripts of
// cmd/weir. It costs the binary about 0.1 MB.

var initTesting = sync.OnceFunc(testing.Init)

// inBubble runs fn in virtual time, and waits until all that fn started has
// ended. What never ends, and what panics in fn, is an error.
func inBubble(fn func()) (err error) {
	initTesting()
	defer func() {
		if stuck := recover(); stuck != nil && err == nil {
			err = fmt.Errorf("the flow left something behind that never ends: %v", stuck)
		}
	}()
	synctest.Test(new(testing.T), func(*testing.T) {
		defer func() {
			if v := recover(); v != nil { // of a T's own goroutine it would end the process
				err = fmt.Errorf("panic: %v", v)
			}
		}()
		fn()
	})
	return err
}
