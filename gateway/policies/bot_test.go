package policies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// zones are the names of a test. An address or a name that is not in them does not
// exist.
type zones struct {
	names   map[string][]string
	addrs   map[string][]string
	slow    time.Duration
	broken  atomic.Bool
	lookups atomic.Int32
}

func (z *zones) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	z.lookups.Add(1)
	if err := z.wait(ctx); err != nil {
		return nil, err
	}
	if names := z.names[addr]; names != nil {
		return names, nil
	}
	return nobodyKnown{}.LookupAddr(ctx, addr)
}

func (z *zones) LookupNetIP(ctx context.Context, network, host string) (all []netip.Addr, err error) {
	if err := z.wait(ctx); err != nil {
		return nil, err
	}
	for _, text := range z.addrs[host] {
		all = append(all, netip.MustParseAddr(text))
	}
	if all == nil {
		return nobodyKnown{}.LookupNetIP(ctx, network, host)
	}
	return all, nil
}

func (z *zones) wait(ctx context.Context) error {
	if z.broken.Load() {
		return &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	}
	select {
	case <-time.After(z.slow):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watched is a site with the policy bot: it asks as an agent, from an address.
func watched(t *testing.T, policy string, names Resolver, log *strings.Builder) (ask func(agent, remote string) *httptest.ResponseRecorder, counts func() map[string]int64) {
	t.Helper()
	catalog, err := NewCatalog(Bot)
	if err != nil {
		t.Fatal(err)
	}
	lang := &Language{Env: func(string) (string, bool) { return "", false }, Resolver: names}
	if log != nil {
		lang.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	var faults dsl.Diagnostics
	b := catalog.Compile(lang, dsl.Parse(dsl.NewSource("test", "bot: "+policy), &faults)[0], Where{}, &faults)
	for _, place := range b.Places {
		place.Open(nil)
		t.Cleanup(place.Keeper().Close)
	}
	layers := catalog.Apply(nil, []*Bundle{b}, nil, dsl.Related{}, &faults).Layers
	routes := gateway.NewRouter([]gateway.Route{{Path: "/", Layers: layers, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}}, &faults)
	metrics, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil || len(faults.All()) > 0 {
		t.Fatal(err, faults.All())
	}
	h := gateway.NewHandler(routes, gateway.Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics})
	ask = func(agent, remote string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		if agent != "" {
			r.Header.Set("User-Agent", agent)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	return ask, func() map[string]int64 {
		told := map[string]int64{}
		b.Places[0].Keeper().(engine.Observed).Observe(func(name string, _ bool, value int64) { told[name] = value })
		return told
	}
}

func TestProgramsAreRefusedByWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		name, policy, agent, remote string
		want                        int
	}{
		{"a crawler of language models", "{ deny: [ai-crawler] }", "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "", 403},
		{"in other letters", "{ deny: [ai-crawler] }", "gptbot", "", 403},
		{"of another kind", "{ deny: [ai-crawler] }", "curl/8.10.1", "", 200},
		{"a browser", "{ deny: [ai-crawler, ai-assistant, search, seo, scraper, scanner, tool] }", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "", 200},
		{"a program that is named by the author", "{ agents: [acme-harvester] }", "Acme-Harvester/2", "", 403},
		{"a name in the middle of a word", "{ agents: [bot] }", "Abbott/1", "", 200},
		{"a name at the beginning of one", "{ agents: [bot] }", "x (bottle)", "", 403},
		{"one that is allowed all the same", "{ deny: [tool], allow: [curl] }", "curl/8.10.1", "", 200},
		{"and another of its kind", "{ deny: [tool], allow: [curl] }", "Wget/1.21", "", 403},
		{"from a network that is allowed", "{ deny: [tool], networks: [10.0.0.0/8] }", "Wget/1.21", "10.1.2.3:1", 200},
		{"nothing is said", "{ deny: [tool] }", "", "", 200},
		{"nothing is said, and should be", "{ unnamed: false }", "", "", 403},
		{"a space is said, and a name should be", "{ unnamed: false }", " ", "", 403},
		{"in shadow nobody is refused", "{ deny: [tool], shadow: true }", "curl/8.10.1", "", 200},
		{"what is no text", "{ deny: [tool] }", "\xff\xfe curl", "", 403},
		{"a very long one", "{ deny: [tool] }", strings.Repeat("c", 100000), "", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.remote == "" {
				c.remote = "192.0.2.1:1"
			}
			ask, _ := watched(t, c.policy, nobodyKnown{}, nil)
			got := ask(c.agent, c.remote)
			if got.Code != c.want || c.want == 403 && (!strings.Contains(got.Body.String(), `"automated-client"`) || got.Header().Get("Proxy-Status") != `weir; error=http_request_denied; details="bot"`) {
				t.Errorf("%d %s", got.Code, got.Body)
			}
		})
	}
}

const googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"

func TestCrawlersProveWhatTheySay(t *testing.T) {
	names := &zones{
		names: map[string][]string{
			"192.0.2.1":    {"crawl-1.googlebot.com."},
			"192.0.2.2":    {"crawl-2.googlebot.com."},              // a name that has another address
			"192.0.2.3":    {"crawl-1.googlebot.com.evil.example."}, // which has the address
			"192.0.2.4":    {"notgooglebot.com."},
			"192.0.2.5":    {"host.evil.example.", "Crawl-5.Googlebot.com."},
			"192.0.2.6":    {"crawl-1.googlebot.com."}, // whoever has an address gives it any name
			"192.0.2.7":    {"crawl.prices.example."},
			"192.0.2.8":    slices.Repeat([]string{"crawl-none.googlebot.com."}, 1000),
			"192.0.2.9":    {"7.bc.googleusercontent.com."},
			"2001:db8::53": {"crawl-6.googlebot.com."},
		},
		addrs: map[string][]string{
			"crawl-1.googlebot.com.":              {"192.0.2.1"},
			"crawl-2.googlebot.com.":              {"198.51.100.1"},
			"crawl-1.googlebot.com.evil.example.": {"192.0.2.3"},
			"notgooglebot.com.":                   {"192.0.2.4"},
			"crawl-5.googlebot.com.":              {"198.51.100.1", "192.0.2.5"},
			"crawl.prices.example.":               {"192.0.2.7"},
			"7.bc.googleusercontent.com.":         {"192.0.2.9"},
			"crawl-6.googlebot.com.":              {"2001:db8::53"},
		},
	}
	for _, c := range []struct {
		name, agent, remote string
		want                int
	}{
		{"it is", googlebot, "192.0.2.1:1", 200},
		{"it is, by IPv6", googlebot, "[2001:db8::53]:1", 200},
		{"it is, by IPv4 in IPv6", googlebot, "[::ffff:192.0.2.1]:1", 200},
		{"it has several names, and a name several addresses", googlebot, "192.0.2.5:1", 200},
		{"its address has no name", googlebot, "203.0.113.1:1", 403},
		{"its name has another address", googlebot, "192.0.2.2:1", 403},
		{"its name is that of somebody else's address", googlebot, "192.0.2.6:1", 403},
		{"its name begins as it should", googlebot, "192.0.2.3:1", 403},
		{"its name ends almost as it should", googlebot, "192.0.2.4:1", 403},
		{"it has a thousand names", googlebot, "192.0.2.8:1", 403},
		{"it comes from a machine that anybody can have", googlebot, "192.0.2.9:1", 403},
		{"it is another crawler", "bingbot/2.0", "192.0.2.1:1", 403},
		{"it says it is two", googlebot + " bingbot", "192.0.2.1:1", 403},
		{"it is one that the author knows", "PriceBot/1", "192.0.2.7:1", 200},
		{"it says it is one that the author knows", "pricebot", "192.0.2.1:1", 403},
		{"it says nothing of the kind", "Mozilla/5.0", "203.0.113.1:1", 200},
		{"where it comes from is no address", googlebot, "somewhere", 403},
		{"an allowed word proves nothing", googlebot + " Monitor", "203.0.113.1:1", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			ask, _ := watched(t, "{ verify: [Googlebot, bingbot], allow: [monitor], crawlers: { PriceBot: [prices.example] } }", names, nil)
			if got := ask(c.agent, c.remote); got.Code != c.want {
				t.Errorf("%d %s", got.Code, got.Body)
			}
		})
	}
}

func TestWhatWasProvedIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := &zones{names: map[string][]string{"192.0.2.1": {"a.googlebot.com."}}, addrs: map[string][]string{"a.googlebot.com.": {"192.0.2.1"}}, slow: 100 * time.Millisecond}
		var log strings.Builder
		ask, counts := watched(t, "{ verify: [Googlebot], timeout: 1s, remember: 1h, entries: 100 }", names, &log)
		is := func(remote string, want int, lookups int32) {
			t.Helper()
			names.lookups.Store(0)
			for range 3 {
				if got := ask(googlebot, remote); got.Code != want {
					t.Errorf("%d %s", got.Code, got.Body)
				}
			}
			if n := names.lookups.Load(); n != lookups {
				t.Errorf("%d lookups, not %d", n, lookups)
			}
		}
		is("192.0.2.1:1", 200, 1)
		is("192.0.2.2:1", 403, 1)
		time.Sleep(7 * time.Minute)
		is("192.0.2.1:1", 200, 0)
		is("192.0.2.2:1", 403, 1)
		names.broken.Store(true)
		is("192.0.2.1:1", 200, 0)
		is("192.0.2.3:1", 503, 3) // a crawler comes again later, and forgets nothing
		if got := ask(googlebot, "192.0.2.3:1"); got.Header().Get("Retry-After") != "5" || !strings.Contains(got.Body.String(), `"unavailable"`) {
			t.Errorf("%v %s", got.Header(), got.Body)
		}
		if n := strings.Count(log.String(), "names cannot be looked up"); n != 1 {
			t.Errorf("it is told %d times: %s", n, &log)
		}
		names.broken.Store(false)
		names.slow = time.Minute
		began := time.Now()
		is("192.0.2.4:1", 503, 3)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("three requests took %v", took)
		}
		names.slow = 0
		for i := range 1000 {
			ask(googlebot, fmt.Sprintf("[2001:db8::%x]:1", i))
		}
		if held := counts()["addresses"]; held > 100 {
			t.Errorf("%d addresses are remembered", held)
		}
	})
}

func TestAddressesAreLookedUpOnceForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := &zones{slow: 500 * time.Millisecond}
		ask, _ := watched(t, "{ verify: [Googlebot] }", names, nil)
		answers := make(chan int, 300)
		for range 100 {
			go func() { answers <- ask(googlebot, "192.0.2.1:1").Code }()
		}
		synctest.Wait()
		if n := names.lookups.Load(); n != 1 {
			t.Errorf("%d lookups", n)
		}
		for i := range 200 { // of which there is room for most
			go func() { answers <- ask(googlebot, fmt.Sprintf("198.51.100.%d:1", i)).Code }()
		}
		got := map[int]int{}
		for range 300 {
			got[<-answers]++
		}
		if want := (map[int]int{403: 100 + mostLookups - 1, 503: 200 - mostLookups + 1}); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
	})
}

func TestTheListOfAgentsIsWhole(t *testing.T) {
	schema := dsl.SchemaOf[botConfig]()
	enum := func(key string) []string {
		for _, f := range schema.Fields {
			if f.Key == key {
				return f.Elem.Enum
			}
		}
		return nil
	}
	for i, a := range knownAgents {
		if !slices.Contains(enum("deny"), a.category) || !strings.HasPrefix(a.source, "https://") || len(a.word) < 3 {
			t.Errorf("%+v", a)
		}
		if slices.ContainsFunc(knownAgents[:i], func(b knownAgent) bool { return strings.EqualFold(a.word, b.word) }) {
			t.Errorf("%s stands there twice", a.word)
		}
	}
	for _, category := range enum("deny") {
		if len(agentWords([]string{category})) == 0 {
			t.Errorf("there is no %s", category)
		}
	}
	var crawlers []string
	for _, k := range knownCrawlers {
		crawlers = append(crawlers, k.word)
		for _, domain := range k.domains {
			if !isHost(domain) || strings.HasSuffix(domain, "googleusercontent.com") {
				t.Errorf("%+v", k)
			}
		}
	}
	if !slices.Equal(enum("verify"), crawlers) {
		t.Errorf("%v, not %v", enum("verify"), crawlers)
	}
}

func TestWhatIsNoNameIsNoFailure(t *testing.T) {
	if unlessNone(&net.DNSError{IsNotFound: true}) != nil || unlessNone(errors.New("x")) == nil || unlessNone(&net.DNSError{IsTimeout: true}) == nil {
		t.Error("what is no name and what is a failure are not told apart")
	}
}
