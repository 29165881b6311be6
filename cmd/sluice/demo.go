package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/internal/node"
)

// What the demo makes in its data directory, and finds there again at its next run.
const (
	demoStream   = "clickstream"
	demoDelivery = "clickstream-to-objects"
	demoBucket   = "clickstream"
	demoShards   = 4

	// Small and soon, so that there is something to see. A service would take Firehose's defaults or more.
	demoBufferMB      = 5
	demoBufferSeconds = 2
	demoEndlessRate   = 10_000 // records per second when nothing bounds their number
	demoProducers     = 4
	demoInputBytes    = 1<<20 - 19 // of one line: a record's 1 MiB less the longest partition key, a line number
)

// demoOptions is what a demo is asked for.
type demoOptions struct {
	input   string
	records int64
	rate    float64
	seed    uint64
	format  string
}

func demoCommand() *cobra.Command {
	var flags nodeFlags
	var options demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the main job on this machine: producers, a stream, a delivery stream, objects",
		Long: `Starts a server of its own on a data directory, plays a clickstream into a stream through the HTTP
API, and has a delivery stream write it into GZIP objects, two seconds or 5 MiB each. It ends when
everything it put is in an object.

Records are made up, or are the lines of --input (- is standard input). Each line is a record, its bytes
as they are; a run sends its input from the beginning. Without --input and --records it goes on until
Ctrl-C; then what was put is still delivered, and a second Ctrl-C leaves at once. A later run on the same
data directory goes on with the same streams: nothing is lost, nothing delivered twice.

Settings come as for serve, from --config, SLUICE_… variables and flags. SLUICE_S3_ENDPOINT and so on
send the objects to an object store. AWS's limits per shard are off unless --limits aws is given.

Exit codes: 0 all was delivered or the demo was interrupted, 1 failed, 2 wrong command line, 3 wrong
configuration, 4 ended at once by a second Ctrl-C, 5 another node has taken over the log in Kafka.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.check(cmd); err != nil {
				return usageError(err)
			}
			config, err := flags.load(cmd, demoDefaults)
			if err != nil {
				return err
			}
			return runDemo(cmd.Context(), config, options, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	defaults := node.Default()
	demoDefaults(&defaults)
	flags.register(cmd, defaults)
	own := cmd.Flags()
	own.StringVar(&options.input, "input", "", "file whose lines are the records; - is standard input")
	own.Int64Var(&options.records, "records", 0, "end after so many records")
	own.Float64Var(&options.rate, "rate", 0,
		"records per second; by default as fast as it goes, or 10000 if neither --records nor --input is given")
	own.Uint64Var(&options.seed, "seed", 0, "number that the clickstream is made from; another one each time by default")
	own.StringVar(&options.format, "format", "json", "format of the objects: json (parquet is not there yet)")
	return cmd
}

// demoDefaults differ from serve's: a directory of its own, ports that are free, no limits. An object store that
// was made for the demo needs its bucket.
func demoDefaults(config *node.Config) {
	config.Data = filepath.Join(config.Data, "demo")
	config.Listen, config.Admin = "127.0.0.1:0", "127.0.0.1:0"
	config.Streams.Limits = "off"
	config.Buckets.S3.CreateBuckets = true
	config.Logging.Level = "warn" // the rest is shown in the demo's own way
}

func (o *demoOptions) check(cmd *cobra.Command) error {
	switch {
	case o.format == "parquet":
		return errors.New("--format parquet: objects are JSON lines as yet; there is no conversion to Parquet")
	case o.format != "json":
		return fmt.Errorf("--format %s: the objects are json", o.format)
	case o.records < 0 || cmd.Flags().Changed("records") && o.records == 0:
		return fmt.Errorf("--records %d: at least one is needed", o.records)
	case o.rate < 0 || math.IsNaN(o.rate) || math.IsInf(o.rate, 0):
		return fmt.Errorf("--rate %v: a number of records per second is needed", o.rate)
	}
	if o.rate == 0 && o.records == 0 && o.input == "" {
		o.rate = demoEndlessRate
	}
	if !cmd.Flags().Changed("seed") {
		o.seed = uint64(time.Now().UnixNano())
	}
	return nil
}

// runDemo runs a node, the demo on it, and takes the node down.
func runDemo(
	ctx context.Context, config node.Config, options demoOptions, stdin io.Reader, stdout, stderr io.Writer,
) error {
	// The input is looked at first: a missing file should not leave a data directory behind.
	var input *lineReader
	if options.input != "" {
		lines, closer, err := openLines(options.input, stdin, demoInputBytes)
		if err != nil {
			return err
		}
		defer func() { _ = closer.Close() }()
		input = lines
	}
	node.Tune(config)
	screen := newDisplay(stdout)
	n, err := node.New(config, node.Options{
		Logger: slog.New(config.Logging.Handler(screen.around(stderr))), Version: versionName(),
	})
	if err != nil {
		return err
	}
	// The node outlives ctx: what was put when it ended is still delivered.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()

	select {
	case err := <-ended:
		return err
	case <-n.Serving():
	}
	demoContext, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	d := &demo{config: config, options: options, node: n, input: input, screen: screen, nodeEnd: make(chan struct{})}
	var nodeError error
	go func() {
		if nodeError = <-ended; nodeError != nil {
			fail(nodeError)
		}
		close(d.nodeEnd)
	}()
	err = d.run(demoContext)
	stop()
	<-d.nodeEnd
	return errors.Join(nodeError, err)
}
