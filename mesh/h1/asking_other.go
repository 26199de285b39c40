//go:build !linux

package h1

// asking is for systems on which it is tested.
type asking struct{}

func (cn *conn) initAsking() {}

func (cn *conn) sendInOneGo(p []byte) (int, error) { return cn.send(p) }
