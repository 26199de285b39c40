package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/flows"
)

// onlyVariables is the value of --secrets that reads no files.
const onlyVariables = "env"

// secretsFlag says where secrets are.
func secretsFlag(cmd *cobra.Command, dir *string, usage string) {
	cmd.Flags().StringVar(dir, "secrets", "", usage)
}

// secrets is where the secrets of flow files are found: in the directory that is
// named, or the one where platforms mount them if it is there, and in the
// environment. What is found the process does not print.
func (p *process) secrets(dir string) (*flows.SecretStore, error) {
	s := &flows.SecretStore{Dir: dir, Env: p.env, Redactor: p.redactor}
	switch dir {
	case onlyVariables:
		s.Dir = ""
	case "":
		if info, err := os.Stat(flows.DefaultSecrets); err == nil && info.IsDir() {
			s.Dir = flows.DefaultSecrets
		}
	default:
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("--secrets: %s is no directory that can be read (%s reads the environment alone)", dir, onlyVariables)
		}
	}
	return s, nil
}
