package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// roles are what the program does besides driving: it starts itself again for each of them.
var roles = map[string]func(context.Context, part) error{
	"backend": func(ctx context.Context, p part) error {
		l, err := net.Listen("tcp", p.listen)
		if err != nil {
			return err
		}
		return newBackend().serve(ctx, l)
	},
	"floor":    func(ctx context.Context, p part) error { return p.serve(ctx, newFloor) },
	"hybrid":   func(ctx context.Context, p part) error { return p.serve(ctx, newHybrid) },
	"overhead": func(ctx context.Context, _ part) error { return measureOverhead(ctx, os.Stdout) },
}

// part is what a role is told.
type part struct{ listen, admin, upstream, keys string }

func (p part) serve(ctx context.Context, service func(backend string, d *duties) http.Handler) error {
	k, err := readKeys(p.keys)
	if err != nil {
		return err
	}
	d, err := newDuties(k)
	if err != nil {
		return err
	}
	return serve(ctx, p.listen, p.admin, service(p.upstream, d))
}

// play takes one role until SIGTERM or SIGINT.
func play(role string, args []string, stderr io.Writer) error {
	set := flag.NewFlagSet("bench "+role, flag.ContinueOnError)
	set.SetOutput(stderr)
	var p part
	set.StringVar(&p.listen, "listen", "", "address to serve on")
	set.StringVar(&p.admin, "admin", "", "address of /readyz and /metrics")
	set.StringVar(&p.upstream, "upstream", "", "address of the backend")
	set.StringVar(&p.keys, "keys", "", "`file` with the keys of tokens")
	if err := set.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return roles[role](ctx, p)
}

// serve runs a hand-written service and, on a second address, what the driver reads of it.
func serve(ctx context.Context, listen, admin string, handler http.Handler) error {
	watch := http.NewServeMux()
	watch.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	watch.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(w, "%s %d\n%s %d\n", mallocsTotal, m.Mallocs, allocBytesTotal, m.TotalAlloc)
	})
	public := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	private := &http.Server{Addr: admin, Handler: watch, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { public.Close(); private.Close() })
	defer stop()
	failed := make(chan error, 2)
	for _, s := range []*http.Server{public, private} {
		go func() { failed <- s.ListenAndServe() }()
	}
	err := <-failed
	public.Close()
	private.Close()
	<-failed
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
