//go:build !linux

package failures

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func dark(syscall.Conn) error { return errors.ErrUnsupported }

func deaf(t testing.TB) net.Addr {
	t.Helper()
	t.Skip("how many connections a listener has room for is known of Linux")
	return nil
}
