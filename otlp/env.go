package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

// Settings are what the variables of OpenTelemetry say. What they are is in its
// specification ("Environment Variable Specification", "OpenTelemetry Protocol
// Exporter"); one that is set to nothing counts as not set. Here a value that means
// nothing is an error, where the SDKs warn and go on: a process that was asked for
// traces does not run without them.
type Settings struct {
	// Where each signal goes. Nil: nowhere.
	Traces, Metrics, Logs *Config
	// NoLogs says that records are meant to go nowhere.
	NoLogs bool

	Sampler     trace.Sampler
	Propagation trace.Propagation
	Secrets     []string // values of headers
}

// FromEnvironment reads the variables. Its error joins all faults, each with the
// name of its variable.
func FromEnvironment(env func(name string) (value string, ok bool)) (Settings, error) {
	r := reader{env: env, transports: map[[3]string]*http.Transport{}}
	s := Settings{Sampler: r.sampler(), Propagation: r.propagators()}
	if s.Traces, _ = r.exporter(traces, "OTEL_TRACES_EXPORTER"); s.Traces != nil {
		c := s.Traces
		c.Delay = r.milliseconds("OTEL_BSP_SCHEDULE_DELAY")
		c.Queue = r.count("OTEL_BSP_MAX_QUEUE_SIZE")
		c.Batch = r.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
	}
	if s.Metrics, _ = r.exporter(metrics, "OTEL_METRICS_EXPORTER"); s.Metrics != nil {
		s.Metrics.Interval = r.milliseconds("OTEL_METRIC_EXPORT_INTERVAL")
		r.choice("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative")
		s.Metrics.Exponential = r.choice("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram", exponential) == exponential
	}
	if s.Logs, s.NoLogs = r.exporter(logs, "OTEL_LOGS_EXPORTER"); s.Logs != nil {
		c := s.Logs
		c.Delay = r.milliseconds("OTEL_BLRP_SCHEDULE_DELAY")
		c.Queue = r.count("OTEL_BLRP_MAX_QUEUE_SIZE")
		c.Batch = r.count("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE")
	}
	s.Secrets = r.secrets
	return s, errors.Join(r.faults...)
}

const exponential = "base2_exponential_bucket_histogram"

type reader struct {
	env        func(string) (string, bool)
	faults     []error
	secrets    []string
	transports map[[3]string]*http.Transport // by the files of their certificates: signals share connections
}

func (r *reader) fault(name, format string, args ...any) {
	err := fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...))
	if !slices.ContainsFunc(r.faults, func(f error) bool { return f.Error() == err.Error() }) { // signals have most in common
		r.faults = append(r.faults, err)
	}
}

func (r *reader) value(name string) string {
	if v, ok := r.env(name); ok {
		return strings.TrimSpace(v)
	}
	return ""
}

// choice is the value of a variable, which is one of the words; the first if it
// says nothing.
func (r *reader) choice(name string, words ...string) string {
	value := r.value(name)
	if value == "" {
		return words[0]
	}
	if !slices.Contains(words, strings.ToLower(value)) {
		r.fault(name, "%q is not supported: write %s", value, strings.Join(words, " or "))
	}
	return strings.ToLower(value)
}

// otlp is a variable of the exporter: that of a signal, or else that of all.
func (r *reader) otlp(of signal, what string) (name, value string) {
	if name = "OTEL_EXPORTER_OTLP_" + strings.ToUpper(of.name) + "_" + what; r.value(name) == "" {
		name = "OTEL_EXPORTER_OTLP_" + what
	}
	return name, r.value(name)
}

// exporter is where a signal goes, if somebody says where, or wants the default.
// Otherwise it tells whether it is meant to go nowhere.
func (r *reader) exporter(of signal, variable string) (c *Config, off bool) {
	if strings.EqualFold(r.value("OTEL_SDK_DISABLED"), "true") {
		return nil, true
	}
	_, endpoint := r.otlp(of, "ENDPOINT")
	wanted := endpoint != ""
	switch value := r.value(variable); value {
	case "":
	case "otlp":
		wanted = true
	case "none":
		return nil, true
	default:
		if value == "prometheus" && of == metrics {
			return nil, true // which asks for them itself
		}
		r.fault(variable, "%q is not supported: write otlp or none", value)
		return nil, true
	}
	if !wanted {
		return nil, false
	}
	c = &Config{Endpoint: r.endpoint(of), Resource: r.resource(), Transport: r.transport(of)}
	c.Headers = r.headers(of)
	if name, protocol := r.otlp(of, "PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		r.fault(name, "%q is not supported: write http/protobuf, with the collector's port for that, which usually is 4318", protocol)
	}
	switch name, value := r.otlp(of, "COMPRESSION"); value {
	case "", "gzip":
	case "none":
		c.Plain = true
	default:
		r.fault(name, "%q is not known: write gzip or none", value)
	}
	name, _ := r.otlp(of, "TIMEOUT")
	c.Timeout = r.milliseconds(name)
	return c, false
}

func (r *reader) endpoint(of signal) string {
	path := "/v1/" + of.name
	name, value := r.otlp(of, "ENDPOINT")
	if value == "" {
		return "http://localhost:4318" + path
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.fault(name, "it is not a URL: write one such as http://collector:4318")
		return ""
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" { // that of a signal is the whole URL
		u.Path = strings.TrimRight(u.Path, "/") + path
	}
	return u.String()
}

// headers are written as key=value,key=value, with values that are
// percent-encoded. No fault shows one: they are credentials.
func (r *reader) headers(of signal) http.Header {
	name, text := r.otlp(of, "HEADERS")
	h := http.Header{}
	r.pairs(name, text, func(key, value string) {
		if strings.ContainsFunc(key+value, func(c rune) bool { return c < ' ' || c == 0x7f }) || strings.ContainsAny(key, " :") {
			r.fault(name, "a header cannot be sent: write it as name=value")
			return
		}
		h[textproto.CanonicalMIMEHeaderKey(key)] = []string{value}
		if !slices.Contains(r.secrets, value) {
			r.secrets = append(r.secrets, value)
		}
	})
	return h
}

// resource is who sends the signals.
func (r *reader) resource() (attrs []trace.Attr) {
	service := r.value("OTEL_SERVICE_NAME")
	r.pairs("OTEL_RESOURCE_ATTRIBUTES", r.value("OTEL_RESOURCE_ATTRIBUTES"), func(key, value string) {
		if key != "service.name" {
			attrs = append(attrs, trace.Attr{Key: key, Text: value})
		} else if service == "" {
			service = value
		}
	})
	if service == "" {
		service = "weir"
	}
	return append([]trace.Attr{{Key: "service.name", Text: service}}, attrs...)
}

func (r *reader) pairs(name, text string, each func(key, value string)) {
	for pair := range strings.SplitSeq(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || key == "" || err != nil {
			r.fault(name, "it is not a list of key=value, separated by commas")
			return
		}
		each(key, value)
	}
}

// sampler is parentbased_always_on if nothing is said.
func (r *reader) sampler() (s trace.Sampler) {
	const name = "OTEL_TRACES_SAMPLER"
	kind := r.value(name)
	root, follow := strings.CutPrefix(kind, "parentbased_")
	s.Follow = follow
	switch root {
	case "":
		return trace.Sampler{Ratio: 1, Follow: true}
	case "always_on":
		s.Ratio = 1
	case "always_off":
	case "traceidratio":
		s.Ratio = 1
		if arg := r.value(name + "_ARG"); arg != "" {
			var err error
			if s.Ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(s.Ratio >= 0 && s.Ratio <= 1) {
				r.fault(name+"_ARG", "%q is no share: write a number from 0 to 1", arg)
			}
		}
	default:
		r.fault(name, "there is no sampler %q: write always_on, always_off or traceidratio, or one of them with parentbased_ before it", kind)
	}
	return s
}

// propagators are tracecontext and baggage if nothing is said.
func (r *reader) propagators() (p trace.Propagation) {
	const name = "OTEL_PROPAGATORS"
	text := r.value(name)
	if text == "" {
		return p
	}
	p.NoContext, p.NoBaggage = true, true
	for word := range strings.SplitSeq(text, ",") {
		switch word = strings.TrimSpace(word); word {
		case "tracecontext":
			p.NoContext = false
		case "baggage":
			p.NoBaggage = false
		case "b3":
			p.B3 = true
		case "b3multi":
			p.B3Multi = true
		case "none", "":
		default:
			r.fault(name, "%q is not supported: write tracecontext, baggage, b3, b3multi or none", word)
		}
	}
	return p
}

func (r *reader) milliseconds(name string) time.Duration {
	return time.Duration(r.count(name)) * time.Millisecond
}

// count is a number above 0; 0 is none.
func (r *reader) count(name string) int {
	value := r.value(name)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 1 {
		r.fault(name, "%q is not a number above 0", value)
	}
	return int(n)
}

// transport is that of connections with these certificates.
func (r *reader) transport(of signal) *http.Transport {
	caName, ca := r.otlp(of, "CERTIFICATE")
	certName, cert := r.otlp(of, "CLIENT_CERTIFICATE")
	_, key := r.otlp(of, "CLIENT_KEY")
	files := [3]string{ca, cert, key}
	t := r.transports[files]
	if t != nil {
		return t
	}
	t = http.DefaultTransport.(*http.Transport).Clone()
	r.transports[files] = t
	if ca == "" && cert == "" {
		return t
	}
	t.TLSClientConfig = &tls.Config{}
	if ca != "" {
		text, err := os.ReadFile(ca)
		roots := x509.NewCertPool()
		if err != nil {
			r.fault(caName, "%w", err)
		} else if !roots.AppendCertsFromPEM(text) {
			r.fault(caName, "%s holds no certificate", ca)
		}
		t.TLSClientConfig.RootCAs = roots
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			r.fault(certName, "%w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t
}
