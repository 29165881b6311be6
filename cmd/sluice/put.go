package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/internal/client"
)

func putCommand() *cobra.Command {
	var server connection
	var keyPath string
	cmd := &cobra.Command{
		Use:   "put STREAM [FILE]",
		Short: "Put lines into a stream",
		Long: `Puts each line of FILE, or of standard input, into the stream as one record, its bytes as they are,
without the line feed. Lines that come slowly are not held back. Throttled records are sent again until
they are taken; a record without an answer is not, since it may be in the stream already.

Records go to shards at random, or by --key: the path of a field of JSON records, like user.id. Records
with the same key are put in the order of their lines, unless the stream throttles.

` + connectionHelp + `

Exit codes: 0 all lines were put, 1 some were not, 2 wrong command line.`,
		Args: arguments(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := &put{report: cmd.ErrOrStderr()}
			if cmd.Flags().Changed("key") {
				field, err := parseKeyField(keyPath)
				if err != nil {
					return usageError(err)
				}
				p.key = field
			}
			c, err := server.client()
			if err != nil {
				return err
			}
			p.sender = &sender{client: c, stream: args[0]}
			file := "-"
			if len(args) == 2 {
				file = args[1]
			}
			return server.explain(p.run(cmd.Context(), file, cmd.InOrStdin()))
		},
	}
	cmd.Flags().StringVar(&keyPath, "key", "", "path of the JSON field that is the partition key; random keys by default")
	server.register(cmd)
	return cmd
}

// put is one run of the verb.
type put struct {
	sender *sender
	key    keyField // nil: random keys
	report io.Writer
	limit  int // bytes of data and key that a record of the stream may have
	failed int64
}

func (p *put) run(ctx context.Context, file string, stdin io.Reader) error {
	// A file that is missing needs no server to say so.
	lines, closer, err := openLines(file, stdin, 0)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	// The stream says how long a record may be, and whether it is there at all, before anything is read.
	summary, err := p.sender.client.DescribeStreamSummary(ctx, p.sender.stream)
	if err != nil {
		return err
	}
	p.limit = maxRecordBytes(summary)
	lines.limitTo(p.limit - randomKeyBytes)

	batches := make(chan numbered)
	go readBatches(ctx, lines, batches)
	err = p.putAll(ctx, batches)

	fmt.Fprintf(p.report, "put %s, %s", count(p.sender.records.Load(), "record"),
		humanize.Bytes(uint64(p.sender.bytes.Load())))
	if again := p.sender.again.Load(); again > 0 {
		fmt.Fprintf(p.report, "; %s sent again after throttling", humanize.Comma(again))
	}
	if p.failed > 0 {
		fmt.Fprintf(p.report, "; %s not put", count(p.failed, "line"))
	}
	fmt.Fprintln(p.report)
	if err == nil && p.failed > 0 {
		err = errors.New("some lines were not put")
	}
	return err
}

// numbered is a batch, and what was wrong with the input after it.
type numbered struct {
	batch
	err error
}

// readBatches reads until the input ends, or ctx. Reading goes on while a batch is on its way. A read that waits
// for the writer of a pipe cannot be broken off; it ends with the process.
func readBatches(ctx context.Context, lines *lineReader, to chan<- numbered) {
	defer close(to)
	for {
		b, err := lines.nextBatch()
		select {
		case to <- numbered{b, err}:
		case <-ctx.Done():
			return
		}
		var long *longLineError
		if err != nil && !errors.As(err, &long) {
			return
		}
	}
}

// putAll puts one batch after the other, so that records stay in order.
func (p *put) putAll(ctx context.Context, batches <-chan numbered) error {
	for {
		var next numbered
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case b, ok := <-batches:
			if !ok {
				return nil
			}
			next = b
		}
		if records := p.records(next.batch); len(records) > 0 {
			if err := p.sender.send(ctx, records); err != nil {
				return fmt.Errorf("from line %d on: %w", next.first, err)
			}
		}
		var long *longLineError
		switch {
		case errors.As(next.err, &long):
			p.skip(next.err)
		case errors.Is(next.err, io.EOF):
			return nil
		case next.err != nil:
			return next.err
		}
	}
}

// records gives the lines of a batch their keys. A line without the field of --key is left out and told.
func (p *put) records(b batch) []record {
	records := make([]record, 0, len(b.lines))
	for i, line := range b.lines {
		key := randomKey()
		if p.key != nil {
			var err error
			if key, err = p.key.of(line); err == nil && len(line)+len(key) > p.limit {
				err = fmt.Errorf("with its key it is larger than a record may be (%d bytes)", p.limit)
			}
			if err != nil {
				p.skip(fmt.Errorf("line %d: %w", b.first+int64(i), err))
				continue
			}
		}
		records = append(records, record{key, line})
	}
	return records
}

// skip counts a line that cannot be put. The first ones are told; more would bury the rest.
func (p *put) skip(why error) {
	p.failed++
	switch {
	case p.failed <= 10:
		fmt.Fprintf(p.report, "not put: %v\n", why)
	case p.failed == 11:
		fmt.Fprintln(p.report, "further lines that cannot be put are only counted")
	}
}

// maxRecordBytes is how many bytes of data and key a record of the stream may have together.
func maxRecordBytes(summary client.Summary) int { return summary.MaxRecordSizeInKiB << 10 }
