package h1

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// upgraded is the connection after 101 Switching Protocols. It belongs to the
// caller: the context and the deadline of the request have ended with it.
type upgraded struct {
	cn     *conn
	closed sync.Once
}

func (x *exchange) takeOver(cn *conn) io.ReadCloser {
	if x.stop != nil && !x.stop() {
		cn.close()
		return http.NoBody
	}
	cn.unsettled = nil
	cn.setDeadline(time.Time{})
	return &upgraded{cn: cn}
}

func (u *upgraded) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return u.cn.read(p)
}

func (u *upgraded) Write(p []byte) (int, error) { return u.cn.nc.Write(p) }

// CloseWrite ends the sending direction, where the connection can.
func (u *upgraded) CloseWrite() error {
	if c, ok := u.cn.nc.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (u *upgraded) Close() error {
	u.closed.Do(u.cn.close)
	return nil
}
