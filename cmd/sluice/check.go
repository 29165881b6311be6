package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/internal/node"
)

func checkCommand() *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and tell what serve would do with it",
		Long: `Reads the configuration as serve does, strictly, and tells what serve would do. Nothing is
opened or changed.

Exit codes: 0 the configuration is right, 2 wrong command line, 3 wrong configuration.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := flags.load(cmd, nil)
			if err != nil {
				return err
			}
			report(cmd.OutOrStdout(), &config)
			return nil
		},
	}
	flags.register(cmd, node.Default())
	return cmd
}

func report(w io.Writer, c *node.Config) {
	fmt.Fprintln(w, "The configuration is right. sluice serve would")
	fmt.Fprintf(w, "  serve on         %s\n", c.Listen)
	switch {
	case c.TLS.AllowPlain:
		fmt.Fprintln(w, "                   with TLS, and without for those who do not speak it")
	case c.TLS.Enabled():
		fmt.Fprintln(w, "                   with TLS")
	}
	fmt.Fprintf(w, "  show health on   %s\n", c.Admin)
	fmt.Fprintf(w, "  keep data in     %s\n", c.Data)
	fmt.Fprintf(w, "  keep records in  %s\n", c.RecordsIn())
	fmt.Fprintf(w, "  keep objects in  %s\n", c.ObjectsIn())
	switch n := len(c.Credentials); n {
	case 0:
		fmt.Fprintln(w, "  accept any request from this machine, signed or not (no credentials are set)")
	case 1:
		fmt.Fprintln(w, "  accept requests signed with one key pair")
	default:
		fmt.Fprintf(w, "  accept requests signed with one of %d key pairs\n", n)
	}
	if n := len(c.Ingest.Keys); n > 0 {
		fmt.Fprintf(w, "  take records by plain HTTP with an API key (there are %d)\n", n)
	}
	if c.Streams.Limits == "aws" {
		fmt.Fprint(w, "  limit shards as AWS does")
	} else {
		fmt.Fprint(w, "  not limit shards")
	}
	if n := c.Streams.OwnLimits(); n > 0 {
		fmt.Fprintf(w, ", but for %d with limits of their own", n)
	}
	fmt.Fprintln(w)
	if c.Kinesis.LimitsControl() {
		fmt.Fprintln(w, "  limit how often control operations are called")
	}
	if names := c.Encryption.Names(); len(names) > 0 {
		fmt.Fprintf(w, "  encrypt streams, where clients ask for it, with the keys %s\n", strings.Join(names, ", "))
	} else {
		fmt.Fprintln(w, "  not encrypt streams, though clients ask for it (no key file is set)")
	}
	for _, warning := range c.Warnings() {
		fmt.Fprintf(w, "Warning: %s\n", warning)
	}
	for _, name := range node.UnknownVariables(environ()) {
		fmt.Fprintf(w, "Warning: %s is set in the environment, but is no setting\n", name)
	}
}
