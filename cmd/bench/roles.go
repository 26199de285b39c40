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
var roles = map[string]func(ctx context.Context, listen, admin, upstream string) error{
	"backend": func(ctx context.Context, listen, _, _ string) error {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		return newBackend().serve(ctx, l)
	},
	"floor": func(ctx context.Context, listen, admin, upstream string) error {
		return serve(ctx, listen, admin, newFloor(upstream))
	},
	"hybrid": func(ctx context.Context, listen, admin, upstream string) error {
		return serve(ctx, listen, admin, newHybrid(upstream))
	},
	"overhead": func(ctx context.Context, _, _, _ string) error { return measureOverhead(ctx, os.Stdout) },
}

// play takes one role until SIGTERM or SIGINT.
func play(role string, args []string, stderr io.Writer) error {
	set := flag.NewFlagSet("bench "+role, flag.ContinueOnError)
	set.SetOutput(stderr)
	listen := set.String("listen", "", "address to serve on")
	admin := set.String("admin", "", "address of /readyz and /metrics")
	upstream := set.String("upstream", "", "address of the backend")
	if err := set.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return roles[role](ctx, *listen, *admin, *upstream)
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
