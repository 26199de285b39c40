//go:build unix

package h1

import "syscall"

// initProbe prepares [conn.quiet]: a read that does not wait. It would consume a
// byte, but a connection that has one is not used again.
func (cn *conn) initProbe() {
	sc, ok := cn.below.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	cn.raw = raw
	b := make([]byte, 1)
	cn.probe = func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), b)
		for err == syscall.EINTR {
			_, err = syscall.Read(int(fd), b)
		}
		cn.silent = err == syscall.EAGAIN
		return true // never wait for more
	}
}
