package main

import (
	"context"
	"fmt"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	cat, err := catalog()
	if err != nil {
		panic(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	files, err := flows.Load([]string{os.Args[2]})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, ds := flows.Check(files, cat, flows.Environment{Env: os.LookupEnv, Log: log})
	dsl.Render(os.Stderr, ds, dsl.RenderOptions{})
	if p == nil {
		os.Exit(1)
	}
	if os.Args[1] == "check" {
		return
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector())
	m, err := gateway.NewMetrics(reg)
	if err != nil {
		panic(err)
	}
	h := flows.NewHost(flows.HostOptions{Log: log, Metrics: m, Drain: 10 * time.Second})
	if err := h.Apply(p); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	addr := "127.0.0.1:9900"
	if len(os.Args) > 4 {
		addr = os.Args[4]
	}
	go func() { fmt.Println(http.ListenAndServe(addr, gateway.NewAdmin(func() error { return nil }, reg))) }()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	_ = h.Shutdown(context.Background())
}
