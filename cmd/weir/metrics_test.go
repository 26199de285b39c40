package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// described is a registry that only looks at what is registered, with values or
// without.
type described struct {
	*prometheus.Registry
	lines []string
}

var ofDesc = regexp.MustCompile(`fqName: "(.*?)", help: "(.*?)", (?:unit: ".*?", )?constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}`)

func (d *described) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	for desc := range descs {
		m := ofDesc.FindStringSubmatch(desc.String())
		if m == nil || !strings.HasPrefix(m[1], "weir_") {
			continue
		}
		var labels []string
		for _, label := range strings.Split(m[3]+","+m[4], ",") {
			if label, _, _ = strings.Cut(label, "="); label != "" {
				labels = append(labels, label)
			}
		}
		name := m[1]
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ",") + "}"
		}
		d.lines = append(d.lines, fmt.Sprintf("| `%s` | %s |\n", name, m[2]))
	}
	return nil
}

func (d *described) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = d.Register(c) // it has no faults
	}
}

// TestTheGuideDescribesAllMetrics compares the table of the guide with what weir run
// registers.
func TestTheGuideDescribesAllMetrics(t *testing.T) {
	d := &described{Registry: prometheus.NewRegistry()}
	p := &process{stdout: io.Discard, stderr: io.Discard, terminal: func(io.Writer) bool { return false },
		env: func(name string) (string, bool) { return "otlp", name == "OTEL_TRACES_EXPORTER" }}
	o := &runOptions{admin: adminOff}
	s := &server{journal: p.journal(&o.log)}
	defer s.close()
	if err := s.open([]string{t.TempDir()}, o, p, d); err != nil {
		t.Fatal(err)
	}
	slices.Sort(d.lines)
	d.lines = slices.Compact(d.lines)
	const path = root + "/docs/guide/observability.md"
	text := read(t, path)
	head, _, _ := strings.Cut(text, "| metric |")
	want := head + "| metric | what it says |\n| --- | --- |\n" + strings.Join(d.lines, "")
	if text == want {
		return
	}
	if !*update {
		t.Errorf("the table of metrics in %s is not what is registered: make generate\n%s", path, want[len(head):])
		return
	}
	if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
		t.Fatal(err)
	}
}
