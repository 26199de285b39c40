//go:build !http3

package gateway

import "errors"

// HTTP3 reports whether this build serves HTTP/3, which needs a library of 3 MB.
const HTTP3 = false

type ports struct{}

func newHTTP3(*Listener, *front) (http3Server, error) {
	return nil, errors.New("tls: this build has no HTTP/3: build with go build -tags http3")
}
