package policies

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// byConfig is the key by, which limits have in common.
type byConfig struct {
	By dsl.Text `yaml:"by" doc:"Counts for each value of this text on its own, such as $(consumer.name), $(claims.tenant), $(headers[\"X-Client\"]) or $(request.remote); all counts all requests together. Without it, or where it is empty or fails, it is the consumer that a policy found out, else the address; of IPv6 its network of 64 bits, for that is what one household has."`
}

// callers tells requests apart that are counted.
type callers struct{ by *dsl.TextTemplate } // nil: by consumer or address

// together is what by says where all requests have one limit in common.
const together = "all"

var firstName = regexp.MustCompile(`^[a-z]+\b`)

// callers compiles a key by.
func (c *Compiler) callers(cfg byConfig) callers {
	n := cfg.By.Node
	text := c.Text(cfg.By, dsl.PlainText)
	if text == nil {
		return callers{}
	}
	if static, ok := text.Static(); ok && static != together {
		d := dsl.Diagnostic{Span: n.Span, Code: "same-key", Message: "this key is the same for all requests: they would have one limit in common", Hint: "write an expression, such as $(request.remote), or all if that is meant"}
		if _, known := c.scope.names[firstName.FindString(static)]; known && n.Span.Text() == static {
			d.Mend(fmt.Sprintf("write $(%s)", static), dsl.Edit{Span: n.Span, New: "$(" + static + ")"})
		}
		c.Report(d)
	}
	if named := namesRead.FindAllStringSubmatch(n.Text, -1); len(named) > 0 && !slices.ContainsFunc(named, func(m []string) bool { return m[1] != "headers" && m[1] != "query" }) {
		c.entry.claims = n.Span
	}
	return callers{text}
}

// namesRead are the names that say something of a request, where they are read.
var namesRead = regexp.MustCompile(`\b(headers|query|request|claims|consumer|params)(?:\.|\?\.|\[)`)

// How a key begins tells what it is made of: nobody takes the key of another
// kind.
const (
	keyText     = 't'
	keyConsumer = 'c'
	keyNetwork  = 'n'
	keyAddress  = 'a'
)

// append appends the key of a request.
func (k callers) append(ctx context.Context, q *gateway.Request, dst []byte) []byte {
	if k.by != nil {
		from := len(dst)
		if with, err := k.by.Append(ctx, q, append(dst, keyText)); err == nil && len(with) > from+1 {
			return with
		}
	}
	in := q.Input()
	if c := in.Consumer; c != nil {
		return appendConsumer(dst, c)
	}
	return appendAddress(dst, in.Remote)
}

func appendConsumer(dst []byte, c *engine.Consumer) []byte {
	dst = append(append(dst, keyConsumer), c.By...)
	return append(append(dst, 0), c.Name...)
}

func appendAddress(dst []byte, remote string) []byte {
	bare, _, _ := strings.Cut(remote, "%")
	a, err := netip.ParseAddr(bare)
	switch a = a.Unmap(); {
	case err != nil:
		return append(append(dst, keyAddress), remote...)
	case a.Is6():
		b := a.As16()
		return append(append(dst, keyNetwork), b[:8]...)
	default:
		b := a.As4()
		return append(append(dst, keyAddress), b[:]...)
	}
}
