package flows

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// ErrNothingBefore is why there is nothing to go back to.
var ErrNothingBefore = errors.New("no other state of the files was served before this one")

// keep notes what is served now. What was served before it can be gone back to:
// its texts are kept, as the program that was made of them has closed what it
// opened.
func (r *Reloader) keep(files *Files) {
	if r.served == nil || r.served.Hash != files.Hash {
		r.before, r.served = r.served, files
	}
}

// back serves what was served before. The files stay as they are, and are not
// loaded again before they change.
func (r *Reloader) back() (out Reload) {
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			out = Reload{Err: errors.New("the check of the files failed, which is a fault of Weir")}
		}
		out.Took = time.Since(start)
		r.options.Report(out)
	}()
	if r.before == nil {
		return Reload{Err: ErrNothingBefore}
	}
	env := r.options.Environment
	draft := Parse(r.before)
	env.Secrets = r.options.Secrets.Read(draft.Secrets())
	p, ds := draft.Check(r.options.Catalog, env)
	out = Reload{Program: p, Diagnostics: ds}
	if p == nil {
		return out // a secret is gone that it needs
	}
	if out.Err = r.host.Apply(p); out.Err == nil {
		r.served, r.before = r.before, nil
	}
	return out
}

// ask has f run by whoever runs Run or Follow, and waits for it.
func (r *Reloader) ask(ctx context.Context, f func() Reload) (Reload, error) {
	done := make(chan Reload, 1)
	select {
	case r.asked <- func() { done <- f() }:
	case <-ctx.Done():
		return Reload{}, ctx.Err()
	}
	return <-done, nil
}

// ReloadHandler loads the files and answers how that went, with all faults.
func (r *Reloader) ReloadHandler() http.Handler { return r.outcome(r.Load) }

// RollbackHandler goes back to what was served before.
func (r *Reloader) RollbackHandler() http.Handler { return r.outcome(r.back) }

// Codes of the problems of both.
const (
	CodeNotLoaded = "files-not-loaded"
	CodeNoBefore  = "nothing-before"
)

func (r *Reloader) outcome(do func() Reload) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		out, err := r.ask(req.Context(), do)
		switch {
		case err != nil:
			gateway.WriteProblem(w, req, gateway.Problem{Status: http.StatusServiceUnavailable, Code: gateway.CodeUnavailable})
		case errors.Is(out.Err, ErrNothingBefore):
			gateway.WriteProblem(w, req, gateway.Problem{Status: http.StatusConflict, Code: CodeNoBefore, Detail: sentence(out.Err)})
		case !out.OK():
			p := gateway.Problem{Status: http.StatusConflict, Code: CodeNotLoaded, Detail: "What was served before goes on.", Extensions: map[string]any{"faults": faultsOf(out)}}
			gateway.WriteProblem(w, req, p)
		default:
			writeState(w, struct {
				Config string `json:"config"`
				Took   string `json:"took"`
			}{out.Program.Revision(), out.Took.Round(100 * time.Microsecond).String()})
		}
	})
}

func sentence(err error) string { return "There is nothing to go back to: " + err.Error() + "." }

// faultsOf are the errors of an attempt, each on a line.
func faultsOf(r Reload) (all []string) {
	for _, d := range r.Diagnostics {
		if d.Severity == dsl.Error && len(all) < 100 {
			all = append(all, d.Span.String()+": "+d.Message)
		}
	}
	if r.Err != nil {
		all = append(all, r.Err.Error())
	}
	return all
}

// FaultsHandler answers with the requests that failed of late.
func FaultsHandler(f *gateway.Faults) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeState(w, struct {
			Faults []gateway.Fault `json:"faults"`
		}{f.All()})
	})
}

// RequestsHandler answers with the last requests.
func RequestsHandler(c *gateway.Recent) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeState(w, struct {
			Requests []gateway.RecentRequest `json:"requests"`
		}{c.All()})
	})
}
