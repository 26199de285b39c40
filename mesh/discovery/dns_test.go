package discovery

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// servers play name servers: they give the messages that are sent back for a
// question, none for silence.
type servers struct {
	t      testing.TB
	answer func(q asked) [][]byte

	mu    sync.Mutex
	asked []string // "udp 10.0.0.2:53 A orders.shop."
}

// asked is a question as a server gets it.
type asked struct {
	network, server string
	id              uint16
	name            string
	kind            dnsmessage.Type
	edns            bool
}

// dial connects over pipes. A write to one is a datagram.
func (s *servers) dial(_ context.Context, network, addr string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		msg := make([]byte, 64<<10)
		n, err := far.Read(msg)
		if err == nil && network == "tcp" && n > 2 {
			msg, n = msg[2:], n-2
		}
		if err != nil {
			return
		}
		var p dnsmessage.Parser
		h, err := p.Start(msg[:n])
		if err != nil {
			s.t.Error(err)
			return
		}
		questions, err := p.AllQuestions()
		if err != nil || len(questions) != 1 || !h.RecursionDesired {
			s.t.Errorf("asked %v, %v", questions, err)
			return
		}
		q := asked{network, addr, h.ID, questions[0].Name.String(), questions[0].Type, false}
		_ = p.SkipAllAnswers()
		_ = p.SkipAllAuthorities()
		if extra, err := p.AllAdditionals(); err == nil {
			q.edns = len(extra) == 1 && extra[0].Header.Type == dnsmessage.TypeOPT
		}
		s.mu.Lock()
		s.asked = append(s.asked, fmt.Sprintf("%s %s %s %s", network, addr, kindName(q.kind), q.name))
		s.mu.Unlock()
		replies := s.replies(q)
		for _, r := range replies {
			if network == "tcp" {
				r = append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...)
			}
			if _, err := far.Write(r); err != nil {
				return
			}
		}
		if len(replies) == 0 {
			_, _ = io.Copy(io.Discard, far) // silence, until the other side gives up
		}
	}()
	return near, nil
}

func (s *servers) replies(q asked) [][]byte {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	return answer(q)
}

func (s *servers) become(answer func(q asked) [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *servers) questions() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.asked, "\n")
	s.asked = nil
	return all
}

// answering builds the answer to a question: records as "NAME TTL TYPE DATA";
// those after "extra" are additional ones.
func (q asked) answering(t testing.TB, rcode dnsmessage.RCode, records ...string) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.id, Response: true, RCode: rcode})
	b.EnableCompression()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name := func(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }
	check(b.StartQuestions())
	check(b.Question(dnsmessage.Question{Name: name(q.name), Type: q.kind, Class: dnsmessage.ClassINET}))
	check(b.StartAnswers())
	for _, r := range records {
		if r == "extra" {
			check(b.StartAdditionals())
			continue
		}
		var owner, kind, data string
		var ttl uint32
		var priority, weight, port uint16
		f := strings.Fields(r)
		owner, kind, data = f[0], f[2], f[len(f)-1]
		_, _ = fmt.Sscan(f[1], &ttl)
		h := dnsmessage.ResourceHeader{Name: name(owner), Class: dnsmessage.ClassINET, TTL: ttl}
		switch kind {
		case "A":
			check(b.AResource(h, dnsmessage.AResource{A: netip.MustParseAddr(data).As4()}))
		case "AAAA":
			check(b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(data).As16()}))
		case "CNAME":
			check(b.CNAMEResource(h, dnsmessage.CNAMEResource{CNAME: name(data)}))
		case "TXT":
			check(b.TXTResource(h, dnsmessage.TXTResource{TXT: []string{data}}))
		case "SRV":
			_, _ = fmt.Sscan(strings.Join(f[3:6], " "), &priority, &weight, &port)
			check(b.SRVResource(h, dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: port, Target: name(data)}))
		}
	}
	msg, err := b.Finish()
	check(err)
	return msg
}

// zone answers from a list of records, with aliases followed as servers do.
func zone(t testing.TB, records ...string) func(q asked) [][]byte {
	return func(q asked) [][]byte {
		var answer []string
		exists := false
		owner := q.name
		for range 20 {
			next := ""
			for _, r := range records {
				f := strings.Fields(r)
				if !strings.EqualFold(f[0], owner) {
					continue
				}
				exists = true
				if f[2] == kindName(q.kind) {
					answer = append(answer, r)
				} else if f[2] == "CNAME" {
					answer, next = append(answer, r), f[3]
				}
			}
			if next == "" {
				break
			}
			owner = next
		}
		if !exists {
			return [][]byte{q.answering(t, dnsmessage.RCodeNameError)}
		}
		return [][]byte{q.answering(t, dnsmessage.RCodeSuccess, answer...)}
	}
}

// conf writes a resolv.conf.
func conf(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lookUp watches a location until something is found or failed, in virtual time.
func lookUp(t *testing.T, location, resolvConf string, answer func(q asked) [][]byte) (found, failure, questions string) {
	t.Helper()
	path := conf(t, resolvConf)
	synctest.Test(t, func(t *testing.T) {
		s := &servers{t: t, answer: answer}
		w, stop := watch(t, mustParse(t, location).Open(Options{Dial: s.dial, ResolvConf: path}))
		for range 100 {
			synctest.Wait()
			if a, b := w.counts(); a+b > 0 {
				break
			}
			time.Sleep(time.Second)
		}
		stop()
		found, failure, questions = w.last(), w.failure(), s.questions()
	})
	return found, failure, questions
}

func TestNamesAreLookedUp(t *testing.T) {
	const one = "nameserver 10.0.0.2\n"
	type script = func(t *testing.T) func(q asked) [][]byte
	records := func(r ...string) script {
		return func(t *testing.T) func(q asked) [][]byte { return zone(t, r...) }
	}
	many := func(n int) (r []string) {
		for i := range n {
			r = append(r, fmt.Sprintf("big. 30 A 10.9.%d.%d", i/200, i%200+1))
		}
		return r
	}
	for _, c := range []struct {
		name, location, conf string
		script               script
		found                string
		failure              string // part of it
		questions            string // if given, all of them
	}{
		{name: "addresses", location: "dns://a.b:8080", conf: one,
			script:    records("a.b. 30 A 10.0.0.7", "a.b. 30 A 10.0.0.6", "a.b. 30 TXT x"),
			found:     lines("http://10.0.0.6:8080 host=a.b:8080", "http://10.0.0.7:8080 host=a.b:8080"),
			questions: "udp 10.0.0.2:53 A a.b."},
		{name: "IPv6 if there is no IPv4", location: "dns+https://a.b/x", conf: one,
			script: records("a.b. 30 AAAA fd00::1"), found: "https://[fd00::1]:443/x host=a.b"},
		{name: "IPv4 of both", location: "dns://a.b:1", conf: one,
			script: records("a.b. 30 AAAA fd00::1", "a.b. 30 A 10.0.0.1"), found: "http://10.0.0.1:1 host=a.b:1"},
		{name: "the family that is asked for", location: "dns://a.b:1?family=ipv6", conf: one,
			script: records("a.b. 30 AAAA fd00::1", "a.b. 30 A 10.0.0.1"), found: "http://[fd00::1]:1 host=a.b:1"},
		{name: "an address twice, and ones that lead nowhere", location: "dns://a.b:1", conf: one,
			script: records("a.b. 30 A 10.0.0.1", "a.b. 30 A 10.0.0.1", "a.b. 30 A 0.0.0.0", "a.b. 30 A 224.0.0.1"), found: "http://10.0.0.1:1 host=a.b:1"},
		{name: "a name of mixed case", location: "dns://A.b:1", conf: one,
			script: records("a.B. 30 A 10.0.0.1"), found: "http://10.0.0.1:1 host=A.b:1"},
		{name: "aliases in the answer", location: "dns://a.b:1", conf: one,
			script: records("a.b. 30 CNAME c.d.", "c.d. 30 CNAME e.f.", "e.f. 30 A 10.0.0.1"), found: "http://10.0.0.1:1 host=a.b:1"},
		{name: "an alias that has to be asked for", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					if q.name == "a.b." {
						return [][]byte{q.answering(t, 0, "a.b. 30 CNAME c.d.")}
					}
					return [][]byte{q.answering(t, 0, "c.d. 30 A 10.0.0.1")}
				}
			}, found: "http://10.0.0.1:1 host=a.b:1", questions: "udp 10.0.0.2:53 A a.b.\nudp 10.0.0.2:53 A c.d."},
		{name: "aliases in a circle", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					return [][]byte{q.answering(t, 0, "a.b. 30 CNAME c.d.", "c.d. 30 CNAME a.b.")}
				}
			}, failure: "more than 8 aliases"},
		{name: "aliases without end", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					return [][]byte{q.answering(t, 0, q.name+" 30 CNAME x"+q.name)}
				}
			}, failure: "more than 8 aliases"},
		{name: "records of others", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte { return [][]byte{q.answering(t, 0, "evil. 30 A 10.6.6.6")} }
			}, failure: "10.0.0.2:53: a.b has no A records"},
		{name: "a name that does not exist", location: "dns://a.b:1", conf: one, script: records(), failure: "10.0.0.2:53: a.b does not exist (NXDOMAIN)"},
		{name: "search domains first", location: "dns://a:1", conf: one + "search x.local y.local\noptions ndots:5\n",
			script: records("a.y.local. 30 A 10.0.0.1"), found: "http://10.0.0.1:1 host=a:1",
			questions: lines("udp 10.0.0.2:53 A a.x.local.", "udp 10.0.0.2:53 AAAA a.x.local.", "udp 10.0.0.2:53 A a.y.local.")},
		{name: "the name itself first", location: "dns://a.b:1", conf: one + "search x.local\n",
			script: records("a.b. 30 A 10.0.0.1", "a.b.x.local. 30 A 10.0.0.2"), found: "http://10.0.0.1:1 host=a.b:1"},
		{name: "an absolute name", location: "dns://a.:1", conf: one + "search x.local\n",
			script: records("a.x.local. 30 A 10.0.0.2"), failure: "a does not exist"},
		{name: "a search domain that cannot be asked is not passed over", location: "dns://a:1", conf: one + "search x.local\n",
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					if q.name == "a." {
						return [][]byte{q.answering(t, 0, "a. 30 A 10.0.0.1")}
					}
					return [][]byte{q.answering(t, dnsmessage.RCodeServerFailure)}
				}
			}, failure: "SERVFAIL for a.x.local"},
		{name: "a server that fails, one that refuses, one that knows", location: "dns://a.b:1", conf: "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					switch q.server {
					case "10.0.0.1:53":
						return nil
					case "10.0.0.2:53":
						return [][]byte{q.answering(t, dnsmessage.RCodeRefused)}
					}
					return zone(t, "a.b. 30 A 10.0.0.1")(q)
				}
			}, found: "http://10.0.0.1:1 host=a.b:1",
			questions: lines("udp 10.0.0.1:53 A a.b.", "udp 10.0.0.2:53 A a.b.", "udp 10.0.0.3:53 A a.b.")},
		{name: "no server answers", location: "dns://a.b:1", conf: one + "options attempts:2 timeout:1\n",
			script:  func(*testing.T) func(q asked) [][]byte { return func(asked) [][]byte { return nil } },
			failure: "10.0.0.2:53: no answer in time", questions: lines("udp 10.0.0.2:53 A a.b.", "udp 10.0.0.2:53 A a.b.")},
		{name: "servers of its own", location: "dns://a.b:1?server=[fd00::53]:5353", conf: one,
			script: records("a.b. 30 A 10.0.0.1"), found: "http://10.0.0.1:1 host=a.b:1", questions: "udp [fd00::53]:5353 A a.b."},
		{name: "no resolv.conf entry", location: "dns://a.b:1", script: records("a.b. 30 A 10.0.0.1"),
			found: "http://10.0.0.1:1 host=a.b:1", questions: "udp 127.0.0.1:53 A a.b."},
		{name: "answers to others, and of others, are waited past", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					otherID, otherName, otherKind := q, q, q
					otherID.id++
					otherName.name = "c.d."
					otherKind.kind = dnsmessage.TypeAAAA
					query := q.answering(t, 0, "a.b. 30 A 10.6.6.6")
					query[2] &^= 0x80 // not a response
					return [][]byte{
						otherID.answering(t, 0, "a.b. 30 A 10.6.6.6"), otherName.answering(t, 0, "a.b. 30 A 10.6.6.6"),
						otherKind.answering(t, 0, "a.b. 30 A 10.6.6.6"), query, {}, {1}, []byte("garbage that is long enough"),
						q.answering(t, 0, "a.b. 30 A 10.0.0.1"),
					}
				}
			}, found: "http://10.0.0.1:1 host=a.b:1"},
		{name: "an answer that breaks off", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					m := q.answering(t, 0, "a.b. 30 A 10.0.0.1")
					return [][]byte{m[:len(m)-2]}
				}
			}, failure: "10.0.0.2:53: "},
		{name: "a server that knows no EDNS", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					if q.edns {
						m := q.answering(t, dnsmessage.RCodeFormatError)[:12]
						m[5] = 0 // no question
						return [][]byte{m}
					}
					return zone(t, "a.b. 30 A 10.0.0.1")(q)
				}
			}, found: "http://10.0.0.1:1 host=a.b:1", questions: lines("udp 10.0.0.2:53 A a.b.", "udp 10.0.0.2:53 A a.b.")},
		{name: "cut short", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					m := zone(t, "a.b. 30 A 10.0.0.1", "a.b. 30 A 10.0.0.2")(q)[0]
					if q.network == "udp" {
						m[2] |= 2 // TC
						m = m[:len(m)-5]
					}
					return [][]byte{m}
				}
			}, found: lines("http://10.0.0.1:1 host=a.b:1", "http://10.0.0.2:1 host=a.b:1"),
			questions: lines("udp 10.0.0.2:53 A a.b.", "tcp 10.0.0.2:53 A a.b.")},
		{name: "cut short without saying so, as Consul does", location: "dns://a.b:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					if q.network == "udp" {
						return zone(t, "a.b. 0 A 10.0.0.1", "a.b. 0 A 10.0.0.2")(q)
					}
					return zone(t, "a.b. 0 A 10.0.0.1", "a.b. 0 A 10.0.0.2", "a.b. 0 A 10.0.0.3")(q)
				}
			}, found: lines("http://10.0.0.1:1 host=a.b:1", "http://10.0.0.2:1 host=a.b:1", "http://10.0.0.3:1 host=a.b:1")},
		{name: "SRV records over TCP", location: "dns+srv://_a._tcp.b", conf: one,
			script: records("_a._tcp.b. 30 SRV 0 10 8001 one.b.", "_a._tcp.b. 30 SRV 1 0 8002 two.b.", "one.b. 30 A 10.0.0.1", "two.b. 30 CNAME three.b.", "three.b. 30 A 10.0.0.3", "three.b. 30 A 10.0.0.4"),
			found:  lines("http://10.0.0.1:8001 host=b weight=10", "http://10.0.0.3:8002 host=b priority=1", "http://10.0.0.4:8002 host=b priority=1")},
		{name: "SRV records over UDP if TCP cannot be had", location: "dns+srv://a.service.consul", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					if q.network == "tcp" {
						return nil
					}
					return [][]byte{q.answering(t, 0, "a.service.consul. 0 SRV 1 1 8001 n1.consul.", "extra", "n1.consul. 0 A 10.0.0.1", "other.consul. 0 A 10.0.0.2")}
				}
			}, found: "http://10.0.0.1:8001 host=a.service.consul weight=1 priority=1",
			questions: lines("tcp 10.0.0.2:53 SRV a.service.consul.", "udp 10.0.0.2:53 SRV a.service.consul.")},
		{name: "a service that says that it is not there", location: "dns+srv://_a._tcp.b", conf: one,
			script: records("_a._tcp.b. 30 SRV 0 0 0 ."), failure: "there is no such service (RFC 2782)"},
		{name: "a SRV target that is not found", location: "dns+srv://_a._tcp.b", conf: one,
			script: records("_a._tcp.b. 30 SRV 0 0 1 gone.b.", "_a._tcp.b. 30 SRV 0 0 2 one.b.", "one.b. 30 A 10.0.0.1"),
			found:  "http://10.0.0.1:2 host=b", failure: "looking for gone.b: 10.0.0.2:53: gone.b does not exist"},
		{name: "an answer of thousands", location: "dns://big:1", conf: one,
			script: func(t *testing.T) func(q asked) [][]byte {
				return func(q asked) [][]byte {
					if q.network == "udp" {
						m := q.answering(t, 0)
						m[2] |= 2
						return [][]byte{m}
					}
					return [][]byte{q.answering(t, 0, many(4000)...)}
				}
			}, found: "4000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, failure, questions := lookUp(t, c.location, c.conf, c.script(t))
			if c.found == "4000" && strings.Count(found, "\n") == 3999 {
				return
			}
			if found != c.found || c.failure == "" && failure != "" || !strings.Contains(failure, c.failure) {
				t.Errorf("found %q, failed %q", found, failure)
			}
			if c.questions != "" && questions != c.questions {
				t.Errorf("asked\n%s", questions)
			}
		})
	}
}

func TestAnswersAreRefreshedBeforeTheyEnd(t *testing.T) {
	for _, c := range []struct {
		ttl      int
		min, max time.Duration // between two questions
	}{
		{0, 720 * time.Millisecond, 800 * time.Millisecond},
		{10, 7200 * time.Millisecond, 8 * time.Second},
		{600, 21600 * time.Millisecond, 24 * time.Second}, // as Docker says
		{1 << 31, 720 * time.Millisecond, 800 * time.Millisecond},
	} {
		path := conf(t, "nameserver 10.0.0.2\n")
		synctest.Test(t, func(t *testing.T) {
			var times []time.Time
			s := &servers{t: t, answer: func(q asked) [][]byte {
				times = append(times, time.Now())
				return [][]byte{q.answering(t, 0, fmt.Sprintf("a. %d A 10.0.0.1", c.ttl))}
			}}
			_, stop := watch(t, mustParse(t, "dns://a:80").Open(Options{Dial: s.dial, ResolvConf: path}))
			time.Sleep(2 * time.Minute)
			stop()
			for i := range len(times) - 1 {
				if d := times[i+1].Sub(times[i]); d < c.min || d > c.max {
					t.Errorf("ttl %d: asked again after %v", c.ttl, d)
				}
			}
			if len(times) < 5 {
				t.Errorf("ttl %d: asked %d times", c.ttl, len(times))
			}
		})
	}
}

func TestWhatWasFoundStaysWhileNothingIs(t *testing.T) {
	path := conf(t, "nameserver 10.0.0.2\n")
	synctest.Test(t, func(t *testing.T) {
		good := zone(t, "a. 5 A 10.0.0.1", "a. 5 A 10.0.0.2")
		s := &servers{t: t, answer: good}
		w, _ := watch(t, mustParse(t, "dns://a:80").Open(Options{Dial: s.dial, ResolvConf: path}))
		const both = "http://10.0.0.1:80 host=a:80\nhttp://10.0.0.2:80 host=a:80"
		time.Sleep(time.Minute)
		for name, bad := range map[string]func(q asked) [][]byte{
			"empty":    func(q asked) [][]byte { return [][]byte{q.answering(t, 0)} },
			"NXDOMAIN": func(q asked) [][]byte { return [][]byte{q.answering(t, dnsmessage.RCodeNameError)} },
			"SERVFAIL": func(q asked) [][]byte { return [][]byte{q.answering(t, dnsmessage.RCodeServerFailure)} },
			"silence":  func(asked) [][]byte { return nil },
		} {
			s.become(bad)
			before, failedBefore := w.counts()
			time.Sleep(time.Minute)
			after, failedAfter := w.counts()
			if after != before && w.last() != both || failedAfter == failedBefore {
				t.Errorf("%s: found %q, %d failures", name, w.last(), failedAfter-failedBefore)
			}
			if failedAfter-failedBefore > 20 {
				t.Errorf("%s: asked %d times in a minute", name, failedAfter-failedBefore)
			}
			s.become(good)
			time.Sleep(time.Minute)
			if again, _ := w.counts(); again <= after || w.last() != both {
				t.Errorf("%s: found %q after it", name, w.last())
			}
		}
	})
}

func TestATargetThatOneAnswerLacksIsDrained(t *testing.T) {
	path := conf(t, "nameserver 10.0.0.2\n")
	synctest.Test(t, func(t *testing.T) {
		round := 0
		s := &servers{t: t, answer: func(q asked) [][]byte {
			records := [][]string{{"a. 1 A 10.0.0.1", "a. 1 A 10.0.0.2"}, {"a. 1 A 10.0.0.2", "a. 1 A 10.0.0.3"}, {"a. 1 A 10.0.0.3", "a. 1 A 10.0.0.2"}}[min(round, 2)]
			round++
			return [][]byte{q.answering(t, 0, records...)}
		}}
		w, stop := watch(t, mustParse(t, "dns://a:80").Open(Options{Dial: s.dial, ResolvConf: path}))
		time.Sleep(2500 * time.Millisecond)
		stop()
		var rounds []string
		for _, found := range w.found[:3] {
			rounds = append(rounds, strings.ReplaceAll(strings.ReplaceAll(shown(found), "http://10.0.0.", ""), ":80 host=a:80", ""))
		}
		if got := strings.ReplaceAll(strings.Join(rounds, "; "), "\n", " "); got != "1 2; 1 draining=true 2 3; 2 3" {
			t.Error(got)
		}
	})
}

func TestTheAddressesOfATargetStayWhileItCannotBeAsked(t *testing.T) {
	path := conf(t, "nameserver 10.0.0.2\noptions attempts:1\n")
	synctest.Test(t, func(t *testing.T) {
		all := zone(t, "_a._tcp.b. 1 SRV 0 0 80 one.", "_a._tcp.b. 1 SRV 0 0 80 two.", "one. 1 A 10.0.0.1", "two. 1 A 10.0.0.2")
		s := &servers{t: t, answer: all}
		w, _ := watch(t, mustParse(t, "dns+srv://_a._tcp.b").Open(Options{Dial: s.dial, ResolvConf: path}))
		time.Sleep(10 * time.Second)
		before := w.last()
		s.become(func(q asked) [][]byte {
			if q.name == "one." {
				return [][]byte{q.answering(t, dnsmessage.RCodeServerFailure)}
			}
			return all(q)
		})
		time.Sleep(30 * time.Second)
		if w.last() != before || !strings.Contains(w.failure(), "looking for one: 10.0.0.2:53: SERVFAIL") {
			t.Errorf("found %q, failed %q", w.last(), w.failure())
		}
	})
}

func TestANameServerThatIsNotThere(t *testing.T) {
	path := conf(t, "nameserver 10.0.0.2\n")
	synctest.Test(t, func(t *testing.T) {
		refused := &net.OpError{Op: "dial", Net: "udp", Err: syscall.ECONNREFUSED}
		w, stop := watch(t, mustParse(t, "dns://a.b:80").Open(Options{ResolvConf: path,
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}))
		synctest.Wait()
		stop()
		if w.failure() != "10.0.0.2:53: connection refused" {
			t.Error(w.failure())
		}
	})
}

func TestWatchEndsInTheMiddleOfAQuestion(t *testing.T) {
	path := conf(t, "nameserver 10.0.0.2\n")
	synctest.Test(t, func(t *testing.T) {
		s := &servers{t: t, answer: func(asked) [][]byte { return nil }}
		w, stop := watch(t, mustParse(t, "dns://a:80").Open(Options{Dial: s.dial, ResolvConf: path}))
		synctest.Wait()
		started := time.Now()
		stop()
		if found, failed := w.counts(); found+failed > 0 || time.Since(started) > 0 {
			t.Errorf("%d found, %d failed, in %v", found, failed, time.Since(started))
		}
	})
}

func TestResolvConf(t *testing.T) {
	c := parseResolvConf("; a comment\nnameserver 10.0.0.1 # one\nnameserver nonsense\nnameserver fd00::1\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n" +
		"domain x.local\nsearch shop.svc.cluster.local. svc.cluster.local\noptions ndots:5 timeout:1 attempts:99 rotate use-vc\nsortlist\n")
	if fmt.Sprint(c) != "{[10.0.0.1:53 [fd00::1]:53 10.0.0.3:53] [shop.svc.cluster.local svc.cluster.local] 5 1000000000 5 true}" {
		t.Error(c)
	}
	if got := fmt.Sprint(c.candidates("a.b")); got != "[a.b.shop.svc.cluster.local a.b.svc.cluster.local a.b]" {
		t.Error(got)
	}
}

func TestResolvConfIsReadAgainWhenItChanges(t *testing.T) {
	path := conf(t, "nameserver 10.0.0.1\n")
	r := &resolvConf{path: path}
	if got := r.read().servers[0]; got != "10.0.0.1:53" {
		t.Fatal(got)
	}
	if err := os.WriteFile(path, []byte("nameserver 10.0.0.22\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.read().servers[0]; got != "10.0.0.22:53" {
		t.Error(got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := r.read().servers[0]; got != "10.0.0.22:53" {
		t.Error(got)
	}
}

func FuzzReply(f *testing.F) {
	q := asked{id: 7, name: "a.b.", kind: dnsmessage.TypeSRV}
	f.Add(q.answering(f, 0, "a.b. 30 SRV 0 10 8001 one.b.", "a.b. 30 CNAME x.", "extra", "one.b. 30 A 10.0.0.1", "one.b. 3 AAAA ::1", "x. 1 TXT y"))
	f.Add(q.answering(f, dnsmessage.RCodeNameError))
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, err := parseReply(msg, 7, dnsmessage.MustNewName("a.b."), dnsmessage.TypeSRV)
		if err != nil {
			return
		}
		for _, rec := range append(r.answers, r.extra...) {
			if rec.ttl < 0 || strings.HasSuffix(rec.name, ".") {
				t.Errorf("%+v", rec)
			}
		}
	})
}

// FuzzResolvConf holds that whatever the file says there is a server to ask, within
// bounds, and names that can be asked for.
func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 10.0.0.1\nsearch a.example. b\noptions ndots:5 timeout:99999999999999999999 attempts:0 tcp\n", "shop")
	f.Add("nameserver fe80::1%eth0\n#\nnameserver\ndomain .\n", "a.b.")
	f.Fuzz(func(t *testing.T, text, name string) {
		c := parseResolvConf(text)
		if len(c.servers) == 0 || len(c.servers) > maxServers || c.timeout <= 0 || c.timeout > 30*time.Second || c.attempts < 1 || c.attempts > 5 || c.ndots < 0 || c.ndots > 15 {
			t.Errorf("%+v", c)
		}
		all := c.candidates(name)
		if len(all) == 0 {
			t.Errorf("%q is looked for nowhere", name)
		}
		for _, one := range all {
			if one != strings.TrimSuffix(name, ".") && !strings.HasPrefix(one, name+".") && one != name {
				t.Errorf("%q is looked for as %q", name, one)
			}
		}
	})
}
