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
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

// Settings are what the variables of OpenTelemetry say of traces. What they are
// is in its specification ("Environment Variable Specification", "OpenTelemetry
// Protocol Exporter"); one that is set to nothing counts as not set. Here a value
// that means nothing is an error, where the SDKs warn and go on: a process that
// was asked for traces does not run without them.
type Settings struct {
	Config    Config
	Sampler   trace.Sampler
	Export    bool // there is somewhere to export to
	NoContext bool
	NoBaggage bool
	Secrets   []string // values of headers
}

// FromEnvironment reads the variables. Its error joins all faults, each with the
// name of its variable.
func FromEnvironment(env func(name string) (value string, ok bool)) (Settings, error) {
	r := reader{env: env}
	s := Settings{Sampler: r.sampler()}
	s.NoContext, s.NoBaggage = r.propagators()
	s.Export = r.exports()
	if !s.Export {
		return s, errors.Join(r.faults...)
	}
	c := &s.Config
	c.Endpoint = r.endpoint()
	c.Headers, s.Secrets = r.headers()
	c.Resource = r.resource()
	if name, protocol := r.otlp("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		r.fault(name, "%q is not supported: write http/protobuf, with the collector's port for that, which usually is 4318", protocol)
	}
	switch name, value := r.otlp("COMPRESSION"); value {
	case "", "gzip":
	case "none":
		c.Plain = true
	default:
		r.fault(name, "%q is not known: write gzip or none", value)
	}
	name, _ := r.otlp("TIMEOUT")
	c.Timeout = r.milliseconds(name)
	c.Delay = r.milliseconds("OTEL_BSP_SCHEDULE_DELAY")
	c.Queue = r.count("OTEL_BSP_MAX_QUEUE_SIZE")
	c.Batch = r.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
	if config := r.tls(); config != nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = config
		c.Transport = t
	}
	return s, errors.Join(r.faults...)
}

type reader struct {
	env    func(string) (string, bool)
	faults []error
}

func (r *reader) fault(name, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

func (r *reader) value(name string) string {
	if v, ok := r.env(name); ok {
		return strings.TrimSpace(v)
	}
	return ""
}

// otlp is a variable of the exporter: that of traces, or else that of all
// signals.
func (r *reader) otlp(what string) (name, value string) {
	if name = "OTEL_EXPORTER_OTLP_TRACES_" + what; r.value(name) == "" {
		name = "OTEL_EXPORTER_OTLP_" + what
	}
	return name, r.value(name)
}

// exports reports whether spans are sent anywhere: if somebody says where, or
// wants the default.
func (r *reader) exports() bool {
	if strings.EqualFold(r.value("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	_, endpoint := r.otlp("ENDPOINT")
	switch value := r.value("OTEL_TRACES_EXPORTER"); value {
	case "":
		return endpoint != ""
	case "otlp":
		return true
	case "none":
		return false
	default:
		r.fault("OTEL_TRACES_EXPORTER", "%q is not supported: write otlp or none", value)
		return false
	}
}

func (r *reader) endpoint() string {
	const path = "/v1/traces"
	name, value := r.otlp("ENDPOINT")
	if value == "" {
		return "http://localhost:4318" + path
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.fault(name, "it is not a URL: write one such as http://collector:4318")
		return ""
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" { // that of traces is the whole URL
		u.Path = strings.TrimRight(u.Path, "/") + path
	}
	return u.String()
}

// headers are written as key=value,key=value, with values that are
// percent-encoded. No fault shows one: they are credentials.
func (r *reader) headers() (h http.Header, secrets []string) {
	name, text := r.otlp("HEADERS")
	h = http.Header{}
	r.pairs(name, text, func(key, value string) {
		if strings.ContainsFunc(key+value, func(c rune) bool { return c < ' ' || c == 0x7f }) || strings.ContainsAny(key, " :") {
			r.fault(name, "a header cannot be sent: write it as name=value")
			return
		}
		h[textproto.CanonicalMIMEHeaderKey(key)] = []string{value}
		secrets = append(secrets, value)
	})
	return h, secrets
}

// resource is who sends the spans.
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
func (r *reader) propagators() (noContext, noBaggage bool) {
	const name = "OTEL_PROPAGATORS"
	text := r.value(name)
	if text == "" {
		return false, false
	}
	noContext, noBaggage = true, true
	for p := range strings.SplitSeq(text, ",") {
		switch p = strings.TrimSpace(p); p {
		case "tracecontext":
			noContext = false
		case "baggage":
			noBaggage = false
		case "none", "":
		default:
			r.fault(name, "%q is not supported: write tracecontext, baggage or none", p)
		}
	}
	return noContext, noBaggage
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

// tls is nil if nothing is said of it.
func (r *reader) tls() *tls.Config {
	caName, ca := r.otlp("CERTIFICATE")
	certName, cert := r.otlp("CLIENT_CERTIFICATE")
	_, key := r.otlp("CLIENT_KEY")
	if ca == "" && cert == "" {
		return nil
	}
	config := &tls.Config{}
	if ca != "" {
		text, err := os.ReadFile(ca)
		config.RootCAs = x509.NewCertPool()
		if err != nil {
			r.fault(caName, "%w", err)
		} else if !config.RootCAs.AppendCertsFromPEM(text) {
			r.fault(caName, "%s holds no certificate", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			r.fault(certName, "%w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}
