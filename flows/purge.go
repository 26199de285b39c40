package flows

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/gateway/policies"
)

// codeBadPurging is the code of the problem of what cannot be purged.
const codeBadPurging = "bad-purge"

// Purge forgets stored answers of all caches of the program that is served, and
// counts those that were there.
func (h *Host) Purge(p policies.Purging) (n int) {
	g := h.acquire()
	if g == nil {
		return 0
	}
	defer g.release()
	seen := map[engine.Keeper]bool{}
	for _, b := range g.program.bundles {
		for _, place := range b.Places {
			if k, ok := place.Keeper().(policies.Purger); ok && !seen[place.Keeper()] {
				seen[place.Keeper()] = true
				n += k.Purge(p)
			}
		}
	}
	return n
}

// PurgeHandler forgets stored answers: {"url": ...}, {"prefix": ...} or
// {"tag": ...} in a POST of JSON, which no page of the web can send without
// asking.
func (h *Host) PurgeHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
			gateway.WriteProblem(w, r, gateway.Problem{Status: http.StatusUnsupportedMediaType, Code: codeBadPurging, Detail: "What to purge is told as application/json."})
			return
		}
		var p policies.Purging
		in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		in.DisallowUnknownFields()
		if err := in.Decode(&p); err != nil || said(p) != 1 {
			gateway.WriteProblem(w, r, gateway.Problem{Status: http.StatusBadRequest, Code: codeBadPurging, Detail: `What to purge is one of {"url": ...}, {"prefix": ...} and {"tag": ...}.`})
			return
		}
		n := h.Purge(p)
		h.log.Info("purged", "url", p.URL, "prefix", p.Prefix, "tag", p.Tag, "answers", n)
		writeState(w, struct {
			Purged int `json:"purged"`
		}{n})
	})
}

// said counts what a purging says.
func said(p policies.Purging) (n int) {
	for _, text := range []string{p.URL, p.Prefix, p.Tag} {
		if strings.TrimSpace(text) != "" {
			n++
		}
	}
	return n
}
