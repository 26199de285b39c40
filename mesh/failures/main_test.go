package failures

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Tests wait far more than they work, so many of them do it at once.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// restores finds what the test leaves running when it and its parallel parts are
// done.
func restores(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}
