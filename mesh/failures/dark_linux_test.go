package failures

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// dark makes the kernel throw away all packets that come for a socket, the first
// of a handshake included, as a broken network does: nothing is acknowledged and
// nothing refused.
func dark(socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	dropAll := []syscall.SockFilter{{Code: syscall.BPF_RET | syscall.BPF_K, K: 0}}
	var failed error
	//lint:ignore SA1019 x/net/bpf assembles filters; to attach one it needs this, too
	if err := raw.Control(func(fd uintptr) { failed = syscall.AttachLsf(int(fd), dropAll) }); err != nil {
		return err
	}
	return failed
}

// deaf is a listener that nobody accepts from, and that has no room for more
// connections.
func deaf(t testing.TB) net.Addr {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(os.NewSyscallError("getsockname", err))
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	conn, err := net.Dial("tcp", addr.String()) // the one that a backlog of 0 has room for
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return addr
}
