// Command sluice runs and talks to Sluice: Kinesis Data Streams and Firehose on your own disks.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/shard/kafka"
)

// Exit codes, as the help of the root command lists them.
const (
	exitOK     = 0
	exitFailed = 1 // what was asked for was not, or not wholly, done
	exitUsage  = 2 // the command line is wrong
	exitConfig = 3 // the configuration is wrong
	exitSignal = 4 // a second signal ended it before it was done
	exitTaken  = 5 // another node has taken over the log
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	endBySignals(stop)

	err := rootCommand().ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(os.Stderr, "sluice: %s\n", strings.TrimSuffix(line, "\n"))
	}
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	if errors.Is(err, kafka.ErrSuperseded) {
		return exitTaken
	}
	return exitFailed
}

// endBySignals lets the first signal end what runs, cleanly, and the second one the process, at once. Putting the
// second one's default effect back would not do: a shell starts what runs in the background with SIGINT ignored.
func endBySignals(stop context.CancelFunc) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		second := <-signals
		fmt.Fprintf(os.Stderr, "sluice: left at once by a second signal (%v)\n", second)
		os.Exit(exitSignal)
	}()
}

// codedError gives the process another exit code than exitFailed.
type codedError struct {
	error
	code int
}

func (e *codedError) Unwrap() error { return e.error }

func usageError(err error) error {
	if err == nil {
		return nil
	}
	return &codedError{error: err, code: exitUsage}
}

func configError(err error) error {
	if err == nil {
		return nil
	}
	return &codedError{error: err, code: exitConfig}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Kinesis Data Streams and Firehose on your own disks",
		Long: `Sluice keeps records in durable, ordered shards on your own disks and delivers them to
objects, and speaks the wire protocols of Kinesis Data Streams and Firehose.

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 wrong configuration, 4 ended at once by a second
signal, 5 another node has taken over the log in Kafka.`,
		Args:          arguments(cobra.NoArgs),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	})
	root.AddCommand(
		serveCommand(), demoCommand(), putCommand(), tailCommand(), checkCommand(), dumpCommand(), repairCommand(), keygenCommand(), versionCommand(),
	)
	return root
}

// arguments makes a wrong number of arguments a usage error that says which, by the command's Use, and names its help.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		switch wanted := strings.Fields(cmd.Use)[1:]; {
		case !cmd.HasParent(): // then it is the command that is wrong
		case len(args) < len(wanted):
			err = fmt.Errorf("%s is missing: %s %s", wanted[len(args)], cmd.CommandPath(), strings.Join(wanted, " "))
		default:
			err = fmt.Errorf("%q is one argument too many", args[len(wanted)])
		}
		return usageError(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	}
}
