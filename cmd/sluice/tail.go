package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func tailCommand() *cobra.Command {
	var server connection
	var from, output string
	var follow bool
	var limit int64
	cmd := &cobra.Command{
		Use:   "tail STREAM",
		Short: "Print the records of a stream as they come",
		Long: `Prints the records of all shards as they come: those of one shard in their order, those of several
merged as they arrive. It goes on until Ctrl-C, or until -n records are printed, or with --follow=false
until it has reached the end of every shard.

--from start is the oldest record that is kept, end (the default) what comes from now on; a time like
2026-03-01T12:00:00Z or an age like 15m is the first record that arrived then or later.

--output text prints the record's bytes and a line feed; json an object with shard, sequenceNumber,
partitionKey, arrival and data (dataBase64 instead if the data is not UTF-8).

Aggregated records, as the Kinesis Producer Library writes them, are taken apart: the records that users made are
printed, in JSON with a subSequenceNumber, and counted by -n.

` + connectionHelp + `

Exit codes: 0 done or interrupted, 1 failed, 2 wrong command line.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			start, err := parseStart(from, time.Now())
			if err != nil {
				return usageError(err)
			}
			if output != "text" && output != "json" {
				return usageError(fmt.Errorf("--output %q is neither text nor json", output))
			}
			if cmd.Flags().Changed("max") && limit <= 0 {
				return usageError(fmt.Errorf("--max %d: at least one record is needed", limit))
			}
			c, err := server.client()
			if err != nil {
				return err
			}
			t := &tailer{
				client: c, stream: args[0], start: start, follow: follow,
				out:      newRecordPrinter(cmd.OutOrStdout(), output == "json", limit),
				messages: cmd.ErrOrStderr(),
			}
			return server.explain(t.run(cmd.Context()))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "end", "where to begin: start, end, a time, or an age")
	flags.BoolVar(&follow, "follow", true, "wait for more records at the end")
	flags.Int64VarP(&limit, "max", "n", 0, "end after so many records")
	flags.StringVar(&output, "output", "text", "text or json")
	server.register(cmd)
	return cmd
}

// startAt is where reading begins: a type of shard iterator, and the time for AT_TIMESTAMP.
type startAt struct {
	kind string
	time time.Time
}

func parseStart(from string, now time.Time) (startAt, error) {
	switch from {
	case "start":
		return startAt{kind: "TRIM_HORIZON"}, nil
	case "end":
		return startAt{kind: "LATEST"}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, from); err == nil {
		return startAt{"AT_TIMESTAMP", at}, nil
	}
	if age, err := time.ParseDuration(from); err == nil {
		if age < 0 {
			return startAt{}, errors.New("--from: an age is positive, like 15m")
		}
		return startAt{"AT_TIMESTAMP", now.Add(-age)}, nil
	}
	return startAt{}, fmt.Errorf("--from %q is neither start, end, a time like 2026-03-01T12:00:00Z nor an age like 15m", from)
}
