package policies

import (
	"net/http"
	"strconv"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// CodeUnauthenticated is the code of requests that do not say who sends them, or
// say it with credentials that do not hold. Who is known and may not is told
// CodeForbidden.
const CodeUnauthenticated = "unauthenticated"

// An identifier is one way to find out who sends a request: what a policy of
// authentication compiles to. It is immutable and shared by all requests.
//
// The steps are apart because each is needed without the one before: a request
// that comes another way is cleansed, too, and a caller of a test is admitted
// without credentials.
type identifier interface {
	// cleanse takes from a request what nobody but the policy may say of its
	// sender.
	cleanse(r *http.Request)
	// identify finds out who sends a request. Without credentials of this kind
	// both results are nil.
	identify(q *gateway.Request, r *http.Request) (*engine.Consumer, *refusal)
	// admit decides whether the consumer of the request may come in, and says in
	// the request what is to be known of it further inside.
	admit(q *gateway.Request, r *http.Request) *refusal
	// challenge is what a request without credentials is told to bring, as a value
	// of WWW-Authenticate (RFC 9110 section 11.6.1), or "".
	challenge() string
}

// A concealer is an identifier that takes from a request, when it has been found
// out who sends it, what is for the gateway alone.
type concealer interface{ conceal(r *http.Request) }

// A host is an identifier that some requests are for: those by which a caller says
// who it is, in a conversation of its own.
type host interface {
	// receive answers a request that is for the policy itself, and reports whether
	// it was one.
	receive(w http.ResponseWriter, r *http.Request) bool
	// invite answers a request of nobody by leading the caller to where it can say
	// who it is. False is a request that cannot be led.
	invite(w http.ResponseWriter, r *http.Request) bool
}

// refusal is why a request does not come in.
type refusal struct {
	status    int
	code      string
	detail    string      // that callers see
	challenge string      // in place of that of the identifier
	err       error       // in full, for the log
	header    http.Header // of the answer
	after     time.Duration
}

// retryLater is how long callers are told to wait when it cannot be known now
// whether their credentials hold.
const retryLater = 5 * time.Second

func unavailable(err error) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, code: gateway.CodeUnavailable, err: err, after: retryLater,
		detail: "It cannot be found out at present who sends this request."}
}

func forbidden(challenge string, err error) *refusal {
	return &refusal{status: http.StatusForbidden, code: CodeForbidden, challenge: challenge, err: err, detail: "The sender of this request may not do this."}
}

// optionalConfig is what policies of authentication have in common.
type optionalConfig struct {
	Optional bool `yaml:"optional" doc:"Whether requests without credentials come in, too, as nobody: consumer is null then. Credentials that do not hold are refused all the same." default:"false"`
}

// way is an identifier and the policy that it is.
type way struct {
	policy string
	identifier
}

// identified makes the policy at hand of an identifier. Inside of any_of it is
// one way among others.
func (c *Compiler) identified(by identifier, cfg optionalConfig) gateway.Middleware {
	one := way{c.Policy(), by}
	if c.ways != nil {
		*c.ways = append(*c.ways, one)
		return nil
	}
	return c.authentication([]way{one}, cfg)
}

func (c *Compiler) authentication(ways []way, cfg optionalConfig) gateway.Middleware {
	for _, w := range ways {
		c.entry.ways = append(c.entry.ways, w.policy)
	}
	a := authentication{policy: c.Policy(), ways: ways, optional: cfg.Optional}
	for _, w := range ways {
		if by, ok := w.identifier.(concealer); ok {
			a.conceal = append(a.conceal, by)
		}
		if by, ok := w.identifier.(host); ok {
			a.hosts = append(a.hosts, by)
		}
	}
	return a.wrap
}

// wants notes how the field Authorization of a request has to begin that the policy
// at hand lets in. Inside of any_of it may begin with something else.
func (c *Compiler) wants(scheme string, cfg optionalConfig) {
	if c.ways == nil && !cfg.Optional {
		c.entry.scheme = scheme
	}
}

// authentication lets in whom one of its ways knows.
type authentication struct {
	policy   string
	ways     []way
	optional bool
	conceal  []concealer
	hosts    []host
	next     http.Handler
}

func (a authentication) wrap(next http.Handler) http.Handler {
	a.next = next
	return &a
}

func (a *authentication) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := gateway.FromContext(r.Context())
	for _, by := range a.hosts {
		if by.receive(w, r) {
			return
		}
	}
	for i := range a.ways {
		a.ways[i].cleanse(r)
	}
	by, consumer, no := a.identify(q, r)
	switch {
	case no != nil:
	case consumer != nil:
		q.Input().Consumer = consumer
		no = by.admit(q, r)
	case !a.optional:
		for _, by := range a.hosts {
			if by.invite(w, r) {
				return
			}
		}
		no = &refusal{status: http.StatusUnauthorized, code: CodeUnauthenticated, detail: "This request does not say who sends it."}
	}
	if no != nil {
		a.refuse(w, r, by, no)
		return
	}
	for _, by := range a.conceal {
		by.conceal(r)
	}
	a.next.ServeHTTP(w, r)
}

// identify asks one way after the other. The first that the request has
// credentials for decides: what does not hold is not tried elsewhere.
func (a *authentication) identify(q *gateway.Request, r *http.Request) (*way, *engine.Consumer, *refusal) {
	assumed := q.Assumed()
	for i := range a.ways {
		by := &a.ways[i]
		if assumed != nil {
			if assumed.By == "" || assumed.By == by.policy {
				consumer := *assumed
				consumer.By = by.policy
				return by, &consumer, nil
			}
			continue
		}
		if consumer, no := by.identify(q, r); consumer != nil || no != nil {
			return by, consumer, no
		}
	}
	return nil, nil, nil
}

func (a *authentication) refuse(w http.ResponseWriter, r *http.Request, by *way, no *refusal) {
	var challenges []string
	for name, values := range no.header {
		if name == "Www-Authenticate" {
			challenges = values
		} else {
			w.Header()[name] = values
		}
	}
	for i := range a.ways {
		text := ""
		switch other := &a.ways[i]; {
		case other == by && no.challenge != "":
			text = no.challenge
		case no.status == http.StatusUnauthorized:
			text = other.challenge()
		}
		if text != "" {
			challenges = append(challenges, text)
		}
	}
	if challenges != nil {
		w.Header()["Www-Authenticate"] = challenges
	}
	policy := a.policy
	if by != nil {
		policy = by.policy
	}
	no.answer(w, r, policy)
}

// answer refuses a request.
func (no *refusal) answer(w http.ResponseWriter, r *http.Request, policy string) {
	if no.after > 0 {
		w.Header()["Retry-After"] = []string{strconv.Itoa(int(no.after.Seconds()))}
	}
	if no.err != nil {
		gateway.FromContext(r.Context()).Err = no.err
	}
	gateway.Refuse(w, r, policy, gateway.Problem{Status: no.status, Code: no.code, Detail: no.detail})
}

// realmConfig is what challenges say they are of.
type realmConfig struct {
	Realm dsl.String `yaml:"realm" doc:"What answers with status 401 call that which is protected." default:"api"`
}

// checked is the realm as it stands in a challenge.
func (cfg realmConfig) checked(c *Compiler) string {
	for _, b := range []byte(cfg.Realm.Value) {
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			c.Report(dsl.Diagnostic{Span: cfg.Realm.Span, Code: "bad-policy", Message: "a realm is of printable ASCII without quotes and backslashes", Hint: "write realm: api"})
			return ""
		}
	}
	return `realm="` + cfg.Realm.Value + `"`
}
