package h1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A request that does not fit into the socket is sent in pieces on a connection
// that was used before, as on a new one.
func TestALongRequestInOneGo(t *testing.T) {
	long := strings.Repeat("x", 8<<20)
	got := make(chan int, 1)
	c := serve(t, Config{}, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			size := 0
			for line := "-"; line != "\r\n"; size += len(line) {
				var err error
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				if size == 0 && len(got) == 0 {
					time.Sleep(20 * time.Millisecond) // for the socket to fill
				}
			}
			got <- size
			io.WriteString(conn, okReply)
		}
	})
	for _, value := range []string{"short", long} {
		req := get(t, "GET")
		req.Header.Set("X-Long", value)
		resp, err := c.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if size := <-got; size < len(value) {
			t.Errorf("%d bytes of %d came", size, len(value))
		}
	}
	if dialed, _ := c.Stats(); dialed != 1 {
		t.Errorf("%d connections", dialed)
	}
}

// The wait for the answer, which comes before the first read, ends like a read.
func TestTheWaitInOneGoEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
		want error
	}{
		{"by a cancellation", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(background)
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
		{"by a cancellation that is looked for late", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(background)
			time.AfterFunc(20*time.Millisecond, cancel)
			return &late{Context: ctx}, cancel
		}, context.Canceled},
		{"by the context's deadline", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(background, 20*time.Millisecond)
		}, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			answered := false
			client := serve(t, Config{}, func(conn net.Conn) {
				in := bufio.NewReader(conn)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" && !answered {
						answered = true
						io.WriteString(conn, okReply)
					}
				}
			})
			resp, err := client.RoundTrip(get(t, "GET"))
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			ctx, cancel := c.ctx()
			defer cancel()
			if _, err := client.RoundTrip(get(t, "GET").WithContext(ctx)); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if dialed, closed := client.Stats(); dialed != 1 || closed != 1 {
				t.Errorf("%d connections made, %d closed", dialed, closed)
			}
		})
	}
}
