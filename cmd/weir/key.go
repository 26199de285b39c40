package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/gateway/policies"
)

func (p *process) keyCommand() *cobra.Command {
	var plan string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "key CONSUMER",
		Short: "Make an API key for the policy api_key",
		Long: `Make an API key for the policy api_key.

What is printed is the line for the file of the policy. It has the hash of the
key; the key itself is shown on standard error, and nowhere else ever.`,
		Example: `  weir key till-7 >> partners.keys
  weir key till-7 --plan gold --lasts 2160h >> partners.keys`,
		Args:              one("consumer"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			var expires time.Time
			if lasts > 0 {
				expires = time.Now().Add(lasts)
			}
			key, line, err := policies.NewAPIKey(args[0], plan, expires)
			if err != nil {
				return usagef("%v", err)
			}
			if _, err := fmt.Fprintln(p.stdout, line); err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stderr, key)
			return err
		},
	}
	cmd.Flags().StringVar(&plan, "plan", "", "the plan of the consumer")
	cmd.Flags().DurationVar(&lasts, "lasts", 0, "how long the key holds; 0 is without end")
	return cmd
}
