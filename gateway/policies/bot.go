package policies

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// CodeAutomated is that of requests of programs that are not taken.
const CodeAutomated = "automated-client"

type botConfig struct {
	Deny     []string            `yaml:"deny" doc:"Kinds of programs that are refused, by what they say they are." enum:"ai-crawler|ai-assistant|search|seo|scraper|scanner|tool"`
	Agents   []dsl.String        `yaml:"agents" doc:"Further programs that are refused, by a word of their user agents: text at the beginning of a word, in large or small letters."`
	Unnamed  bool                `yaml:"unnamed" doc:"Whether requests come in that do not say what sends them." default:"true"`
	Allow    []dsl.String        `yaml:"allow" doc:"Programs that come in though deny has them, by a word of their user agents."`
	Networks []dsl.String        `yaml:"networks" doc:"Addresses and networks (CIDR) that come in whatever they say they are."`
	Verify   []string            `yaml:"verify" doc:"Crawlers that must prove what they say they are: the address that they come from has a name in a domain of their owner, and that name has the address. Who says so and cannot prove it is refused. Proof is needed beside what deny and allow say. In tests of flows nobody can prove anything, since no name is looked up." enum:"Googlebot|bingbot|Applebot|YandexBot|Baiduspider|Amazonbot|CCBot"`
	Crawlers map[string][]string `yaml:"crawlers" doc:"Further crawlers that must prove it: a word of their user agents, and the domains of their names."`
	Timeout  dsl.Duration        `yaml:"timeout" doc:"How long it may take to look up names. A crawler for which it takes longer is answered with status 503." default:"2s" min:"10ms" max:"30s"`
	Remember dsl.Duration        `yaml:"remember" doc:"For how long an address that has proved it is not looked up again. One that has not is looked up again after a tenth of that." default:"1h" min:"1s" max:"24h"`
	Entries  int                 `yaml:"entries" doc:"How many addresses are remembered at most." default:"10000" min:"2" max:"1000000"`
	Shadow   bool                `yaml:"shadow" doc:"Whether nobody is refused: the metrics tell who would be." default:"false"`
}

// Bot is the Kind of the policy bot.
var Bot = Kind{
	Why: "what a program says it is costs nothing to read, and those that are not taken nothing more",
	Kind: dsl.Define("bot", "Refuses programs by what they say of themselves in User-Agent, and those that say they are a search engine's crawler and cannot prove it. A user agent is a claim: this keeps out who is honest, and not who sends what browsers send. Of the kinds, "+agentsDoc()+".",
		func(c *Compiler, at *dsl.Node, cfg *botConfig) gateway.Middleware { return c.bot(at, cfg) },
		dsl.Example{Name: "no crawlers of language models, and no false Googlebot", YAML: "deny: [ai-crawler, scraper]\nverify: [Googlebot, bingbot]"},
		dsl.Example{Name: "tools but one, and a partner's crawler that proves what it is", YAML: "deny: [tool]\nagents: [acme-harvester]\nallow: [curl]\ncrawlers: { PriceBot: [crawl.prices.example] }\nshadow: true"}),
}

// bot is immutable and shared by all requests.
type bot struct {
	refused, allowed []string // in lower case
	crawlers         []crawler
	unnamed          bool
	networks         []netip.Prefix
	shadow           bool
	state            *engine.Kept[*botState]
}

func (c *Compiler) bot(at *dsl.Node, cfg *botConfig) gateway.Middleware {
	p := &bot{refused: lowered(agentWords(cfg.Deny)), unnamed: cfg.Unnamed, networks: Networks(c, cfg.Networks), shadow: cfg.Shadow}
	p.refused = append(p.refused, c.agentWords(cfg.Agents)...)
	p.allowed = c.agentWords(cfg.Allow)
	for _, k := range knownCrawlers {
		if slices.Contains(cfg.Verify, k.word) {
			p.crawlers = append(p.crawlers, crawler{word: strings.ToLower(k.word), domains: k.domains})
		}
	}
	for _, word := range sortedKeys(cfg.Crawlers) {
		own := crawler{word: strings.ToLower(word)}
		n := at.Field("crawlers").Field(word)
		if len(cfg.Crawlers[word]) == 0 || word == "" {
			c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "bad-policy", Message: "nothing proves what this crawler is", Hint: "write the domains in which the names of its addresses are"})
		}
		for i, domain := range cfg.Crawlers[word] {
			if !isHost(domain) || !strings.Contains(domain, ".") {
				c.Report(dsl.Diagnostic{Span: n.Items[i].Span, Code: "bad-policy", Message: fmt.Sprintf("%q is no domain", domain), Hint: "write one in lower case, such as crawl.example.com"})
			}
			own.domains = append(own.domains, domain)
		}
		p.crawlers = append(p.crawlers, own)
	}
	if len(p.refused)+len(p.crawlers) == 0 && p.unnamed {
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "bot refuses nobody", Hint: "add deny, agents, verify or unnamed: false"})
	}
	c.Describe(describeBot(cfg))
	entries, remember, timeout, log := cfg.Entries, time.Duration(cfg.Remember), time.Duration(cfg.Timeout), c.Log()
	names := c.resolver()
	p.state = Keep(c, func() *botState { return newBotState(log, names, entries, remember, timeout) })
	return p.wrap
}

// Resolver finds the names of addresses and the addresses of names, as
// net.Resolver does.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) (names []string, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// resolver is that of the language, or the system's. Tests of flows have one that
// knows nothing.
func (c *Compiler) resolver() Resolver {
	switch {
	case c.lang.Resolver != nil:
		return c.lang.Resolver
	case c.lang.MadeUp:
		return nobodyKnown{}
	}
	return net.DefaultResolver
}

// nobodyKnown has no names.
type nobodyKnown struct{}

func (nobodyKnown) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
}

func (nobodyKnown) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func describeBot(cfg *botConfig) string {
	var says []string
	if n := len(cfg.Deny) + len(cfg.Agents); n > 0 {
		words := slices.Clone(cfg.Deny)
		for _, a := range cfg.Agents {
			words = append(words, a.Value)
		}
		says = append(says, "refuses "+strings.Join(words, ", "))
	}
	if crawlers := append(slices.Clone(cfg.Verify), sortedKeys(cfg.Crawlers)...); len(crawlers) > 0 {
		says = append(says, "verifies "+strings.Join(crawlers, ", "))
	}
	if cfg.Shadow {
		says = append(says, "in shadow")
	}
	return strings.Join(says, ", ")
}

// agentWords are words that an author writes.
func (c *Compiler) agentWords(texts []dsl.String) (words []string) {
	for _, t := range texts {
		if len(strings.TrimSpace(t.Value)) < 2 {
			c.Report(dsl.Diagnostic{Span: t.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is in almost every user agent", t.Value), Hint: "write the name of a program"})
			continue
		}
		words = append(words, strings.ToLower(t.Value))
	}
	return words
}

func lowered(words []string) []string {
	for i := range words {
		words[i] = strings.ToLower(words[i])
	}
	return words
}

// named reports whether a word begins a word of a user agent. Both are
// in lower case.
func named(agent, word string) bool {
	for from := 0; ; {
		i := strings.Index(agent[from:], word)
		if i < 0 {
			return false
		}
		at := from + i
		if at == 0 || !isLower(agent[at-1]) && !isDigit(agent[at-1]) {
			return true
		}
		from = at + 1
	}
}

func anyNamed(agent string, words []string) bool {
	for _, word := range words {
		if named(agent, word) {
			return true
		}
	}
	return false
}

func (p *bot) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if no := p.verdict(r); no != nil && !p.shadow {
			if no.after > 0 {
				w.Header()["Retry-After"] = []string{fmt.Sprint(int(no.after.Seconds()))}
			}
			if no.err != nil {
				gateway.FromContext(r.Context()).Err = no.err
			}
			gateway.Refuse(w, r, "bot", gateway.Problem{Status: no.status, Code: no.code, Detail: no.detail})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// verdict is why a request does not come in, or nil.
func (p *bot) verdict(r *http.Request) *refusal {
	s := p.state.It()
	from, ok := sender(gateway.FromContext(r.Context()).Input().Remote)
	if ok && holds(p.networks, from) {
		return nil
	}
	agent := strings.ToLower(strings.Join(r.Header["User-Agent"], " "))
	no := &refusal{status: http.StatusForbidden, code: CodeAutomated, detail: "Requests of programs of this kind are not taken here."}
	if strings.TrimSpace(agent) == "" {
		if p.unnamed {
			return nil
		}
		s.refused.Add(1)
		return no
	}
	for i := range p.crawlers {
		k := &p.crawlers[i]
		if !named(agent, k.word) {
			continue
		}
		var proved bool
		var err error
		if ok { // what is no address proves nothing
			proved, err = s.proved(r.Context(), k, from)
		}
		switch {
		case err != nil:
			return unavailable(fmt.Errorf("bot: %w", err))
		case !proved:
			s.forged.Add(1)
			no.detail = "This request says it is of a crawler that it is not of."
			return no
		}
		s.verified.Add(1)
	}
	if anyNamed(agent, p.refused) && !anyNamed(agent, p.allowed) {
		s.refused.Add(1)
		return no
	}
	return nil
}
