package flows_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// frame is a message of gRPC, with its prefix of five bytes. Those of gRPC-Web
// that have trailers begin with 0x80.
func frame(flag byte, message string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message)))
	return append(b, message...)
}

// message reads the next one.
func message(in io.Reader) (flag byte, text string, err error) {
	var prefix [5]byte
	if _, err := io.ReadFull(in, prefix[:]); err != nil {
		return 0, "", err
	}
	b := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
	_, err = io.ReadFull(in, b)
	return prefix[0], string(b), err
}

// shopRPC is a service of gRPC, and of gRPC-Web for those who speak that.
func shopRPC(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc-web") {
		w.Header().Set("Content-Type", "application/grpc-web+proto")
		_, text, err := message(r.Body)
		if err != nil {
			return
		}
		_, _ = w.Write(frame(0, "re: "+text))
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(frame(0x80, "grpc-status: 0\r\n"))
		return
	}
	h := w.Header()
	switch {
	case r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" || r.Header.Get("Content-Type") != "application/grpc":
		http.Error(w, "this is no gRPC", http.StatusUnsupportedMediaType)
		return
	case strings.HasSuffix(r.URL.Path, "/Fail"): // no messages: the trailers are the header
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", "5")
		h.Set("Grpc-Message", "no such order")
		return
	}
	h.Set("Content-Type", "application/grpc")
	h.Set("Trailer", "Grpc-Status, Grpc-Message")
	h.Set("X-Bin", r.Header.Get("X-Bin"))
	_ = http.NewResponseController(w).Flush() // metadata comes before the first message
	status := "0"
	for {
		_, text, err := message(r.Body)
		if err == io.EOF {
			break
		} else if err != nil {
			return
		}
		if text == "stop" {
			status = "10"
			break
		}
		_, _ = w.Write(frame(0, "re: "+text))
		_ = http.NewResponseController(w).Flush()
	}
	h.Set("Grpc-Status", status)
	h.Set(http.TrailerPrefix+"Grpc-Status-Details-Bin", "AAA")
}

const forwardsRPC = `
flow: rpc
trigger: { http: "POST /shop.Orders/{method}", deadline: 1h }
steps: [{ forward: shop }]
---
services: { shop: %s }
gateways: { public: %s }
`

// Calls of gRPC go through forward in all four forms, with metadata, trailers and
// failures as they are, from h2c to h2c and from TLS to TLS; and those of gRPC-Web,
// over HTTP/1.1 as well.
func TestForwardPassesGRPC(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %t", secure), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, client, scheme := servesRPC(t, secure)
				call := func(method string, body io.Reader) *http.Response {
					r, err := http.NewRequest("POST", scheme+"://public:80/shop.Orders/"+method, body)
					if err != nil {
						t.Fatal(err)
					}
					r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "X-Bin": {"AQID"}, "Grpc-Timeout": {"10M"}}
					resp, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
						t.Fatalf("got %s over %s", resp.Status, resp.Proto)
					}
					return resp
				}
				ends := func(resp *http.Response, status string) {
					t.Helper()
					if _, _, err := message(resp.Body); err != io.EOF {
						t.Errorf("the answer ended with %v", err)
					}
					if got := resp.Trailer.Get("Grpc-Status"); got != status {
						t.Errorf("Grpc-Status %q, want %s: %v", got, status, resp.Trailer)
					}
					if got := resp.Trailer.Get("Grpc-Status-Details-Bin"); got != "AAA" {
						t.Errorf("a trailer that was not announced: %q", got)
					}
					resp.Body.Close()
				}
				says := func(resp *http.Response, want string) {
					t.Helper()
					if _, text, err := message(resp.Body); text != want || err != nil {
						t.Errorf("got %q, %v, want %q", text, err, want)
					}
				}

				resp := call("Get", bytes.NewReader(frame(0, "order 7")))
				if resp.Header.Get("X-Bin") != "AQID" {
					t.Errorf("metadata %v", resp.Header)
				}
				says(resp, "re: order 7")
				ends(resp, "0")

				resp = call("Fail", bytes.NewReader(frame(0, "order 7")))
				if resp.Header.Get("Grpc-Status") != "5" || resp.Header.Get("Grpc-Message") != "no such order" || len(flowtest.Read(resp, nil).Body) > 0 {
					t.Errorf("a failure without messages: %v", resp.Header)
				}

				body, upload := io.Pipe()
				resp = call("Talk", body) // the metadata is there before any message
				for i := range 3 {
					time.Sleep(time.Minute) // longer than anyone may take for a piece of a body
					if _, err := upload.Write(frame(0, fmt.Sprint("message ", i))); err != nil {
						t.Fatal(err)
					}
					says(resp, fmt.Sprint("re: message ", i))
					if err := w.Apply(w.text); err != nil {
						t.Fatal(err)
					}
				}
				_, _ = upload.Write(frame(0, "stop")) // the service ends the call, not the client
				ends(resp, "10")
				upload.Close()

				for _, http2 := range []bool{false, true} {
					if secure && !http2 {
						continue // the client of this test speaks HTTP/2
					}
					web := client
					if !http2 {
						web = speaking(w.World, false)
					}
					r, err := http.NewRequest("POST", scheme+"://public:80/shop.Orders/Get", bytes.NewReader(frame(0, "order 7")))
					if err != nil {
						t.Fatal(err)
					}
					r.Header = http.Header{"Content-Type": {"application/grpc-web+proto"}, "X-Grpc-Web": {"1"}}
					resp, err := web.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					says(resp, "re: order 7")
					if flag, text, err := message(resp.Body); flag != 0x80 || text != "grpc-status: 0\r\n" || err != nil {
						t.Errorf("trailers of gRPC-Web: %x %q, %v", flag, text, err)
					}
					resp.Body.Close()
				}
				client.CloseIdleConnections()
			})
		})
	}
}

// rpcWorld is a World and the text that it serves.
type rpcWorld struct {
	*flowtest.World
	text string
}

// servesRPC serves shopRPC behind a gateway, both with TLS or both without, and
// makes a client for it that speaks HTTP/2.
func servesRPC(t *testing.T, secure bool) (w rpcWorld, client *http.Client, scheme string) {
	if !secure {
		w.text = fmt.Sprintf(forwardsRPC, `{ endpoints: ["http://shop"], protocol: h2c }`, `{ listen: "public:80", h2c: true }`)
		w.World = flowtest.Serve(t, w.text, flowtest.Backends{"shop": http.HandlerFunc(shopRPC)})
		return w, speaking(w.World, true), "http"
	}
	a, dir := authority(t), t.TempDir()
	gateway, service := a.Issue("public"), a.Issue("shop")
	cert, key := gateway.Write(t, dir, "public")
	ca := filepath.Join(dir, "ca.pem")
	write(t, dir, map[string]string{"ca.pem": string(a.PEM)})
	w.text = fmt.Sprintf(forwardsRPC,
		fmt.Sprintf(`{ endpoints: ["https://shop:443"], protocol: http2, tls: { ca: %s } }`, ca),
		fmt.Sprintf(`{ listen: "public:80", tls: { certificates: [{ cert: %s, key: %s }] } }`, cert, key))
	w.World = flowtest.Serve(t, w.text, nil)
	l, err := w.Listen("memory", "shop:443")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(shopRPC), TLSConfig: &tls.Config{Certificates: []tls.Certificate{service.Pair}}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ServeTLS(l, "", "") // it ends with ErrServerClosed
	}()
	t.Cleanup(func() { _ = s.Close(); <-ended })
	client = overTLS(w.World, a, true)
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "public"
	return w, client, "https"
}
