package gateway

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/gateway/usage"
)

// use counts a request that has ended.
func (h *recorder) use(q *Request, r *http.Request, took time.Duration, completed bool) {
	at := usage.Route{Gateway: h.options.Gateway}
	if q.Route != nil {
		at.Method, at.Route = methodLabel(q.Route.Method), q.Route.Path
	}
	one := usage.Request{Failed: !completed || q.w.status >= http.StatusInternalServerError, In: q.body.taken.Load(), Out: q.w.bytes, Took: took}
	if c := q.input.Consumer; c != nil {
		one.Consumer = c.Name
	}
	h.options.Usage.Add(at, one)
}

// mostPeriods bounds what one answer is made of.
const mostPeriods = 400

// UsageHandler answers with what was used: by=minute, hour (the default) or day,
// last=N of them, sum=true for one row of each route, format=csv.
func UsageHandler(u *usage.Usage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		by, last := usage.Hour, 24
		if text := query.Get("by"); text != "" {
			by = usage.Period(text)
		}
		var err error
		if text := query.Get("last"); text != "" {
			if last, err = strconv.Atoi(text); err != nil || last < 1 || last > mostPeriods {
				err = fmt.Errorf("last is a number from 1 to %d", mostPeriods)
			}
		}
		format := query.Get("format")
		if format != "" && format != "csv" && format != "json" {
			err = fmt.Errorf("there is no format %q: use json or csv", format)
		}
		var rows []usage.Row
		if err == nil {
			rows, err = u.Rows(by, last, query.Get("sum") == "true")
		}
		if err != nil {
			WriteProblem(w, r, Problem{Status: http.StatusBadRequest, Code: CodeBadRequest, Detail: err.Error()})
			return
		}
		w.Header()["Cache-Control"] = cacheControlNoStore
		if format == "csv" {
			w.Header()["Content-Type"] = []string{"text/csv; charset=utf-8"}
			writeUsage(csv.NewWriter(w), rows)
			return
		}
		w.Header()["Content-Type"] = typeJSON
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		_ = out.Encode(struct { // a client that has gone is no fault
			By   usage.Period `json:"by"`
			Rows []usage.Row  `json:"rows"`
		}{by, rows})
	})
}

func writeUsage(out *csv.Writer, rows []usage.Row) {
	_ = out.Write([]string{"begin", "gateway", "method", "route", "requests", "errors", "bytes_in", "bytes_out", "p50", "p95", "p99", "consumers", "top"})
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	seconds := func(s float64) string { return strconv.FormatFloat(s, 'f', 6, 64) }
	for _, row := range rows {
		var top []string
		for _, c := range row.Top {
			top = append(top, c.Name+"="+number(c.Count))
		}
		_ = out.Write([]string{row.Begin.Format(time.RFC3339), cell(row.Gateway), row.Method, cell(row.Route.Route), number(row.Requests), number(row.Errors), number(row.In), number(row.Out),
			seconds(row.P50), seconds(row.P95), seconds(row.P99), number(row.Consumers), cell(strings.Join(top, "; "))})
	}
	out.Flush()
}

// cell keeps a spreadsheet from taking what a consumer calls itself for a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
