package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/internal/node"
)

func serveCommand() *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve Kinesis Data Streams and Firehose",
		Long: `Serves Kinesis Data Streams and Firehose until SIGINT or SIGTERM. Then requests in flight are
finished and what is buffered is kept for the next start. A second signal ends the process at once;
nothing that was acknowledged is lost by that either.

No file is needed. Settings come from --config, over that from SLUICE_… variables, over that from flags.
Without credentials (SLUICE_ACCESS_KEY_ID and SLUICE_SECRET_ACCESS_KEY, or credentials: in the file) any
request is accepted, and only addresses of this machine's loopback may be listened on.

The log is on this machine's disks, or with log.engine: kafka in a Kafka cluster (docs/kafka.md). Of two
nodes that are started on the same log in Kafka the older one ends, with exit code 5; starting it again
would end the other one.

Exit codes: 0 stopped by a signal, 1 failed, 2 wrong command line, 3 wrong configuration, 4 ended at
once by a second signal, 5 another node has taken over the log in Kafka.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := flags.load(cmd, nil)
			if err != nil {
				return err
			}
			node.Tune(config)
			logger := slog.New(config.Logging.Handler(cmd.ErrOrStderr()))
			for _, name := range node.UnknownVariables(environ()) {
				logger.Warn(name + " is set in the environment, but is no setting")
			}
			n, err := node.New(config, node.Options{Logger: logger, Version: versionName()})
			if err != nil {
				return err
			}
			defer newSpareMemory().stop()
			return n.Run(cmd.Context())
		},
	}
	flags.register(cmd, node.Default())
	return cmd
}
