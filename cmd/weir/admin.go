package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
)

// adminFlags are who may use the admin endpoints.
type adminFlags struct {
	token, cert, key, clientCA string
	write                      bool
}

func (a *adminFlags) add(f *pflag.FlagSet) {
	f.StringVar(&a.token, "admin-token", "", "a `file` with the token that admin endpoints ask for; it is needed if others reach the address")
	f.StringVar(&a.cert, "admin-cert", "", "a `file` with the certificate of the admin address, in PEM: it is served with TLS")
	f.StringVar(&a.key, "admin-key", "", "a `file` with the private key of that certificate")
	f.StringVar(&a.clientCA, "admin-client-ca", "", "a `file` with the authorities whose certificates stand for the token")
	f.BoolVar(&a.write, "admin-write", false, "let admin endpoints change something: /reload, /rollback, /log-level, /purge")
}

func (a *adminFlags) check() error {
	switch {
	case (a.cert == "") != (a.key == ""):
		return usagef("--admin-cert and --admin-key go together")
	case a.clientCA != "" && a.cert == "":
		return usagef("--admin-client-ca needs --admin-cert: certificates of clients are a part of TLS")
	}
	return nil
}

// administer serves the admin endpoints.
func (s *server) administer(o *runOptions, p *process, registry prometheus.Gatherer, counts *gateway.Metrics) error {
	config := gateway.AdminListener
	if o.access.cert != "" {
		config.TLS = &gateway.TLS{Certificates: []gateway.CertificateFiles{{Cert: o.access.cert, Key: o.access.key}}, ClientCA: o.access.clientCA}
		if o.access.clientCA != "" {
			config.TLS.Client = "request"
		}
	}
	var err error
	if s.admin, err = gateway.NewServer(s.Logger, counts).Listen(o.admin, config); err != nil {
		return fmt.Errorf("admin: %w (--admin chooses another address, --admin %s does without)", err, adminOff)
	}
	admin := gateway.NewAdmin(s.ready, registry)
	host, _, _ := net.SplitHostPort(o.admin) // which was listened on
	admin.Access = gateway.AdminAccess{Token: o.access.token, Certificates: o.access.clientCA != "", Local: gateway.IsLocal(s.admin.Addr()), Write: o.access.write, Host: host}
	if o.access.token != "" {
		token, err := admin.Access.CheckToken()
		if err != nil {
			return fmt.Errorf("--admin-token: %w", err)
		}
		p.redactor.Add(map[string]string{"admin-token": token})
	} else if !admin.Access.Local && !admin.Access.Certificates {
		s.Warn("others can reach the admin address, which has no credentials: it shows no more than /healthz, /readyz and /metrics", "address", s.admin.Addr().String(), "remedy", "--admin-token FILE")
	}
	admin.Handle("GET /services", s.host.ServicesHandler())
	admin.Handle("GET /routes", s.host.RoutesHandler())
	admin.Handle("GET /limits", s.host.LimitsHandler())
	admin.Handle("GET /faults", flows.FaultsHandler(s.faults))
	if s.recent != nil {
		admin.Handle("GET /requests", flows.RequestsHandler(s.recent))
	}
	if s.usage != nil {
		admin.Handle("GET /usage", gateway.UsageHandler(s.usage))
	}
	admin.Handle("GET /log-level", http.HandlerFunc(s.showLevel))
	admin.HandleChange("PUT /log-level", http.HandlerFunc(s.setLevel))
	admin.HandleChange("POST /reload", s.reloader.ReloadHandler())
	admin.HandleChange("POST /rollback", s.reloader.RollbackHandler())
	admin.HandleChange("POST /purge", s.host.PurgeHandler())
	s.admin.Swap(gateway.Redacted(p.redactor, admin))
	s.admin.Start()
	return nil
}

// mostRequests bounds --requests: each can take 10 KB, and two bodies of mostBodies.
const (
	mostRequests = 10_000
	mostBodies   = 64 << 10
)

// keepRequests has the last n requests kept, with so many bytes of their bodies,
// and their steps traced for that. Of a tracer that sends its spans elsewhere,
// those that it samples have steps.
func (s *server) keepRequests(n, bodies int, tracer *trace.Tracer) {
	if n == 0 {
		return
	}
	s.recent = gateway.NewRecent(n)
	s.recent.Bodies = bodies
	if s.recent.Next = tracer.Sink; tracer.Sink == nil {
		tracer.Sampler = trace.Sampler{Ratio: 1}
	}
	tracer.Sink = s.recent
}

type levelState struct {
	Level slog.Level `json:"level"`
}

func (s *server) showLevel(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(levelState{s.level.Level()}) // a client that has gone is no fault
}

func (s *server) setLevel(w http.ResponseWriter, r *http.Request) {
	var asked levelState
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		gateway.WriteProblem(w, r, gateway.Problem{Status: http.StatusBadRequest, Code: gateway.CodeBadRequest, Detail: `Write {"level":"debug"}, or info, warn or error.`})
		return
	}
	before := s.level.Level()
	s.level.Set(asked.Level)
	s.Log(r.Context(), max(asked.Level, slog.LevelInfo), "another log level", "level", asked.Level.String(), "before", before.String())
	s.showLevel(w, r)
}
