package policies

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// meterConfig is what rate_limit and quota have in common.
type meterConfig struct {
	byConfig
	costConfig
	Shadow bool `yaml:"shadow" doc:"Whether it only counts: nobody is refused, and callers are told nothing. The metric of refusals shows what would be." default:"false"`
	Fields bool `yaml:"fields" doc:"Whether answers tell callers what they have left, in the fields RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11)." default:"true"`
}

// meter lets requests in that have credit left in a limiter. rate_limit and quota
// are meters.
type meter struct {
	policy   string
	code     string
	callers  callers
	cost     cost
	plans    map[string]int          // from a consumer's plan to its tariff; the others have the first
	tariffs  []tariff                // at least one
	limiters *engine.Kept[*limiters] // by tariff
	shadow   bool
	fields   bool
}

// describe tells what a meter does in a few words: 100/s by $(claims.sub).
func (m *meter) describe(by dsl.Text) string {
	text := strings.Join(m.tariffs[0].limits, " and ")
	switch {
	case by.Node == nil:
		text += " by consumer or address"
	case by.Node.Text == together:
		text += " for all together"
	default:
		text += " by " + by.Node.Text
	}
	for _, plan := range slices.Sorted(maps.Keys(m.plans)) {
		text += "; plan " + plan + " " + strings.Join(m.tariffs[m.plans[plan]].limits, " and ")
	}
	if m.shadow {
		text += "; refuses nothing"
	}
	return text
}

// tariff is the limits that some callers have.
type tariff struct {
	limits []string // what each is called in fields and problems
	policy []string // the value of RateLimit-Policy
}

// limiters are what a meter counts in, by tariff: what callers of one do cannot
// push out what is known of those of another.
type limiters struct {
	all     []engine.Limiter
	observe func(show func(name string, total bool, value int64))
	close   func()
}

// Observe is what engine.Observed asks for.
func (l *limiters) Observe(show func(name string, total bool, value int64)) { l.observe(show) }

// Close is what engine.Keeper asks for.
func (l *limiters) Close() { l.close() }

func (m *meter) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.admit(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// charge is one request at a meter. It is all that a request costs in memory:
// its key, and then the text of the field, stand in its room.
type charge struct {
	*meter
	tariff  int
	cost    int64
	refused bool
	key     []byte
	left    []engine.Balance
	field   [1]string
	limits  [2]engine.Balance
	room    [72]byte
}

// admit counts a request, and answers it if it is refused.
func (m *meter) admit(w http.ResponseWriter, r *http.Request) bool {
	ctx := r.Context()
	q := gateway.FromContext(ctx)
	c := &charge{meter: m}
	var ok bool
	if c.cost, ok = m.cost.of(ctx, q); !ok {
		if !m.shadow {
			gateway.Refuse(w, r, m.policy, gateway.Problem{Status: http.StatusBadRequest, Code: gateway.CodeBadRequest, Detail: "It cannot be told what this request costs."})
			return false
		}
		c.cost = 1
	}
	if consumer := q.Input().Consumer; consumer != nil && m.plans != nil {
		c.tariff = m.plans[consumer.Plan]
	}
	c.key = m.callers.append(ctx, q, c.room[:0])
	if c.left = c.limits[:]; len(m.tariffs[c.tariff].limits) > len(c.left) {
		c.left = make([]engine.Balance, len(m.tariffs[c.tariff].limits))
	}
	granted := m.limiter(c.tariff).Take(ctx, c.key, c.cost, time.Now(), c.left)
	switch {
	case granted && (m.cost.answer != nil || m.fields && !m.shadow):
		q.BeforeAnswer(c)
	case granted:
	case m.shadow:
		c.note(q)
	default:
		c.refused = true
		c.note(q)
		if m.fields {
			q.BeforeAnswer(c)
		}
		c.refuse(w, r)
		return false
	}
	return true
}

// note tells logs, spans and operators which limits have no room for the request,
// and whose they are. A text that requests are counted by may be a credential:
// its hash tells the same ones apart.
func (c *charge) note(q *gateway.Request) {
	by, whom := c.policy, ""
	for i, name := range c.tariffs[c.tariff].limits {
		if c.left[i].Wait > 0 {
			by += " " + name
		}
	}
	if c.shadow {
		by += " shadow"
	}
	if len(c.key) > 0 && c.key[0] == keyText {
		sum := sha256.Sum256(c.key[1:])
		whom = "sha256:" + hex.EncodeToString(sum[:6])
	}
	q.Limit(by, whom)
}

func (m *meter) limiter(tariff int) engine.Limiter { return m.limiters.It().all[tariff] }

// quotaExceeded is the type of problem that the draft of the RateLimit fields has
// for this, section 5.1.
const (
	quotaExceeded      = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	quotaExceededTitle = "Request cannot be satisfied as assigned quota has been exceeded"
)

func (c *charge) refuse(w http.ResponseWriter, r *http.Request) {
	var wait time.Duration
	var violated []string
	for i, name := range c.tariffs[c.tariff].limits {
		if b := c.left[i]; b.Wait > 0 {
			wait = max(wait, b.Wait, b.Next)
			violated = append(violated, name)
		}
	}
	w.Header()["Retry-After"] = []string{strconv.FormatInt(seconds(wait), 10)}
	p := gateway.Problem{Status: http.StatusTooManyRequests, Code: c.code, Detail: "There were more requests than this limit lets through. Retry-After tells when there is room."}
	if c.fields {
		p.Type, p.Title, p.Extensions = quotaExceeded, quotaExceededTitle, map[string]any{"violated-policies": violated}
	}
	gateway.Refuse(w, r, c.policy, p)
}

// EditHeader is what gateway.HeaderEditor asks for: it settles what the request
// has cost, and tells what is left.
func (c *charge) EditHeader(q *gateway.Request, status int, h http.Header) {
	if a := c.meter.cost.answer; a != nil && !c.refused {
		if now := a.of(status, h, c.cost); now != c.cost {
			c.limiter(c.tariff).Settle(q.Input().Request.Context(), c.key, now-c.cost, time.Now(), c.left)
		}
	}
	if !c.fields || c.shadow {
		return
	}
	t := &c.tariffs[c.tariff]
	if old := h[fieldPolicy]; old == nil {
		h[fieldPolicy] = t.policy
	} else {
		h[fieldPolicy] = append(old[:len(old):len(old)], t.policy...)
	}
	if q.Refused != "" && !c.refused {
		return // what refuses says when to come back: no other limit should
	}
	text := c.room[:0]
	for i, name := range t.limits {
		if b := &c.left[i]; !c.refused || b.Wait > 0 {
			if len(text) > 0 {
				text = append(text, ", "...)
			}
			text = appendLimit(text, name, b)
		}
	}
	c.field[0] = unsafe.String(unsafe.SliceData(text), len(text)) // nothing else is written there any more
	if old := h[fieldLimit]; old == nil {
		h[fieldLimit] = c.field[:]
	} else {
		h[fieldLimit] = append(old[:len(old):len(old)], c.field[0])
	}
}

const (
	fieldLimit  = "Ratelimit"
	fieldPolicy = "Ratelimit-Policy"
)

// appendLimit appends an item of RateLimit, section 4.1 of the draft. Its
// effective window goes until there is more than what it says is left.
func appendLimit(dst []byte, name string, b *engine.Balance) []byte {
	dst = append(append(append(dst, '"'), name...), `";r=`...)
	dst = strconv.AppendInt(dst, b.Left, 10)
	dst = append(dst, ";t="...)
	return strconv.AppendInt(dst, seconds(b.Next), 10)
}

// seconds are whole ones, rounded up.
func seconds(d time.Duration) int64 { return int64((max(d, 0) + time.Second - 1) / time.Second) }

// tariffs gives the tariffs of a policy, and which plan has which: the first for
// all that have none of their own. Whether a consumer has a plan is known where
// something finds out who calls.
func tariffsOf[P any](c *Compiler, standard P, plans map[string]P, compile func(P, *dsl.Node) tariff, at *dsl.Node) (all []tariff, by map[string]int) {
	all = append(all, compile(standard, at))
	if len(plans) == 0 {
		return all, nil
	}
	c.entry.asks = true
	by = map[string]int{}
	for _, f := range at.Field("plans").Fields {
		if p, ok := plans[f.Key.Text]; ok { // it has no fault
			by[f.Key.Text] = len(all)
			all = append(all, compile(p, f.Value))
		}
	}
	return all, by
}
