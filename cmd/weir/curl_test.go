package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// curl stands in for curl in the commands of the documentation, so that they
// need nothing but this test binary: -s, -f, -i, -m, -X, -H, -d, --json,
// --data-binary with @FILE, and -o.
func curl() {
	if err := fetch(os.Args[1:], os.Stdout); err != nil {
		if !slices.Contains(os.Args, "-s") {
			fmt.Fprintln(os.Stderr, "curl:", err)
		}
		os.Exit(1)
	}
}

func fetch(args []string, w io.Writer) error {
	f := pflag.NewFlagSet("curl", pflag.ContinueOnError)
	f.BoolP("silent", "s", false, "")
	fail := f.BoolP("fail", "f", false, "")
	include := f.BoolP("include", "i", false, "")
	method := f.StringP("request", "X", "", "")
	headers := f.StringArrayP("header", "H", nil, "")
	data := f.StringP("data", "d", "", "")
	document := f.String("json", "", "")
	upload := f.String("data-binary", "", "")
	most := f.Float64P("max-time", "m", 0, "")
	out := f.StringP("output", "o", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	header := http.Header{}
	if name, ok := strings.CutPrefix(*upload, "@"); ok {
		if name == "-" {
			name = "/dev/stdin"
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		*upload = string(text)
	}
	body := cmp.Or(*data, *document, *upload)
	if body != "" {
		*method = cmp.Or(*method, http.MethodPost)
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if *document != "" {
		header.Set("Content-Type", "application/json")
		header.Set("Accept", "application/json")
	}
	for _, h := range *headers {
		name, value, _ := strings.Cut(h, ":")
		header.Set(name, strings.TrimSpace(value))
	}
	url := f.Arg(0)
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	ctx := context.Background()
	if *most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*most*float64(time.Second)))
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, *method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if *fail && resp.StatusCode >= 400 {
		return fmt.Errorf("the answer was %s", resp.Status)
	}
	if *out != "" {
		w = io.Discard
	}
	if *include {
		fmt.Fprintf(w, "HTTP/1.1 %s\n", resp.Status)
		var lines []string
		for name, values := range resp.Header {
			lines = append(lines, fmt.Sprintf("%s: %s", name, strings.Join(values, ", ")))
		}
		slices.Sort(lines)
		fmt.Fprintf(w, "%s\n\n", strings.Join(lines, "\n"))
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
