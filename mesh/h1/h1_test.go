package h1

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestSmoke(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.Host + r.URL.RequestURI())) }))
	defer srv.Close()
	u, _ := url.Parse(srv.URL + "/base/")
	c := New(u, Config{})
	defer c.Close()
	req, _ := http.NewRequest("GET", "http://users/a%2Fb?q=1", nil)
	req.Header.Set("Accept", "x")
	req.Header.Set("X-Id", "x")
	do := func() {
		resp, err := c.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != "users/base/a%2Fb?q=1" || err != nil {
			t.Fatal(string(b), err)
		}
	}
	do()
	t.Log(testing.AllocsPerRun(100, do))
	t.Log(c.Stats())
}
