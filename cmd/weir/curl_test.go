package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// curl stands in for curl in the commands of the documentation, so that they
// need nothing but this test binary: -s, -f, -i, -X, -H, -d and -o.
func curl() {
	if err := fetch(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
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
	out := f.StringP("output", "o", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	header := http.Header{}
	if *data != "" {
		*method = cmp.Or(*method, http.MethodPost)
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range *headers {
		name, value, _ := strings.Cut(h, ":")
		header.Set(name, strings.TrimSpace(value))
	}
	url := f.Arg(0)
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	req, err := http.NewRequest(*method, url, strings.NewReader(*data))
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
