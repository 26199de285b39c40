package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by releases: go build -ldflags "-X main.version=v1.2.3".
var version string

// build says what this binary is.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && b.Version == "" {
		b.Version = info.Main.Version // of the module, or made from the commit
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	return b
}

func (b build) String() string { return fmt.Sprintf("weir %s %s %s", b.Version, b.Go, b.Platform) }

func (p *process) versionCommand() *cobra.Command {
	format := &choice{value: "text", allowed: []string{"text", "json"}}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version of Weir this is",
		Example: `  weir version
  weir version --format json`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if format.value == "json" {
				return json.NewEncoder(p.stdout).Encode(b)
			}
			_, err := fmt.Fprintln(p.stdout, b)
			return err
		},
	}
	cmd.Flags().Var(format, "format", "how to print")
	return cmd
}
