package policies

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// origins are those that a policy trusts. They are compared byte by byte with
// what browsers send (Fetch, 3.2.1: a scheme, a host and a port that is not the
// scheme's own, in lower case), so that all that is not written like this is a
// fault where it stands.
type origins struct {
	any      bool
	exact    []string
	patterns []originPattern
}

// originPattern takes the origins that begin and end so, and between them have
// what it says.
type originPattern struct {
	before, after string // https://, .shop.example
	port          bool   // the rest is a port, or nothing; otherwise it is labels of a host
}

// compileOrigins reads origins, and reports those that no browser sends.
func compileOrigins(r dsl.Reporter, texts []dsl.String) *origins {
	all := &origins{}
	for _, t := range texts {
		if t.Value == "*" {
			all.any = true
			continue
		}
		if message, hint, meant := originFault(t.Value); message != "" {
			d := dsl.Diagnostic{Span: t.Span, Code: "bad-origin", Message: message, Hint: hint}
			if at, ok := t.Span.Find(t.Value); ok && meant != "" {
				d.Mend(hint, dsl.Edit{Span: at, New: meant})
			}
			r.Report(d)
			continue
		}
		switch before, after, wild := strings.Cut(t.Value, "*"); {
		case !wild:
			all.exact = append(all.exact, t.Value)
		case after == "":
			all.patterns = append(all.patterns, originPattern{before: strings.TrimSuffix(before, ":"), port: true})
		default:
			all.patterns = append(all.patterns, originPattern{before: before, after: after})
		}
	}
	return all
}

// have reports whether an origin is one of these.
func (o *origins) have(origin string) bool {
	if o.any || slices.Contains(o.exact, origin) {
		return true
	}
	for i := range o.patterns {
		if o.patterns[i].takes(origin) {
			return true
		}
	}
	return false
}

func (p *originPattern) takes(origin string) bool {
	rest, ok := strings.CutPrefix(origin, p.before)
	if !ok {
		return false
	}
	if p.port {
		port, ok := strings.CutPrefix(rest, ":")
		return rest == "" || ok && isPort(port)
	}
	labels, ok := strings.CutSuffix(rest, p.after)
	return ok && isHost(labels)
}

// originFault says why a text is no origin, or none that a browser would ever
// send, and what may be meant by it.
func originFault(text string) (message, hint, meant string) {
	scheme, rest, ok := strings.Cut(text, "://")
	lower := strings.ToLower(text)
	switch {
	case text == "null":
		return "every page can give itself the origin null", `remove it, or write "*" if all may read the answers`, ""
	case !ok || scheme == "" || rest == "":
		return fmt.Sprintf("%q is not an origin", text), "write a scheme and a host, such as https://shop.example", ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		whole := strings.ToLower(scheme + "://" + rest[:i])
		return "an origin ends with its host and port", "write " + whole, ifOrigin(whole)
	}
	if lower != text {
		return "browsers send origins in lower case", "write " + lower, ifOrigin(lower)
	}
	host, port := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
		host, port = rest[:i], rest[i+1:]
		own := scheme == "https" && port == "443" || scheme == "http" && port == "80"
		switch {
		case own:
			whole := scheme + "://" + host
			return "browsers leave out the port that is the scheme's own", "write " + whole, ifOrigin(whole)
		case port != "*" && !isPort(port):
			return fmt.Sprintf("%q is not a port", port), "write a number from 1 to 65535, or * for any", ""
		}
	}
	base, wild := strings.CutPrefix(host, "*.")
	switch {
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") && strings.Trim(host[1:len(host)-1], "0123456789abcdef:.") == "":
		return "", "", ""
	case strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }):
		return "browsers send the names of hosts in ASCII", "write it in Punycode, such as xn--bcher-kva.example", ""
	case strings.Contains(base, "*"):
		return "the star stands for whole labels in front of a host, or for a port", "write one such as https://*.shop.example", ""
	case !isHost(base):
		return fmt.Sprintf("%q is not the name of a host", host), "write one such as https://shop.example", ""
	case wild && port == "*":
		return "an origin has one star", "write the port, or leave it out", ""
	case wild && !strings.Contains(base, ".") && base != "localhost":
		return fmt.Sprintf("the hosts below %s belong to anyone", base), "name the domain: *.shop." + base, ""
	}
	return "", "", ""
}

// ifOrigin is a text that is an origin, and "" for others.
func ifOrigin(text string) string {
	if message, _, _ := originFault(text); message != "" {
		return ""
	}
	return text
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0'
}

// isHost reports whether a text is labels of a host, as browsers write them.
func isHost(text string) bool {
	if text == "" || text[0] == '.' || text[len(text)-1] == '.' || strings.Contains(text, "..") {
		return false
	}
	for i := range len(text) {
		if b := text[i]; !('a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '.' || b == '_') {
			return false
		}
	}
	return true
}

// isToken reports whether a text is a token (RFC 9110, 5.6.2): the name of a
// method or of a header.
func isToken(text string) bool {
	for i := range len(text) {
		if b := text[i]; b <= ' ' || b >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, b) >= 0 {
			return false
		}
	}
	return text != ""
}
