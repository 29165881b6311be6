package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/client"
	"github.com/seed-462d9463/sluice/internal/node"
)

// demo is one run of it, on a node that serves.
type demo struct {
	config  node.Config
	options demoOptions
	node    *node.Node
	nodeEnd chan struct{} // closed when the node has ended
	input   *lineReader   // nil: the records are made up
	screen  *display

	delivery firehose.Name
	sender   *sender
	before   firehose.Stats // when the run began
	started  time.Time
	produced time.Duration // how long putting took
}

// errNodeEnded: the node ended under the demo; its own error says why.
var errNodeEnded = errors.New("the server ended")

func (d *demo) run(ctx context.Context) error {
	if err := d.setUp(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted before anything was put, or the node ended and says why itself
		}
		return err
	}
	d.introduce()
	d.started = time.Now()
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() { d.watch(watching) })
	err := d.produce(ctx)
	d.produced = time.Since(d.started)
	if err == nil {
		err = d.awaitDelivery(ctx)
	}
	stopWatching()
	watcher.Wait()
	if errors.Is(err, errNodeEnded) {
		return nil
	}
	return errors.Join(d.summarize(), err)
}

// setUp makes the stream and the delivery stream, or finds those of an earlier run.
func (d *demo) setUp(ctx context.Context) error {
	account := d.config.Account
	accessKey, secretKey := "demo", "demo"
	if len(d.config.Credentials) > 0 {
		pair := d.config.Credentials[0]
		accessKey, secretKey = pair.AccessKeyID, pair.SecretAccessKey
		if pair.Account != "" {
			account = pair.Account
		}
	}
	c, err := client.New(client.Options{
		Endpoint: "http://" + d.node.Addr().String(), Region: d.config.Region,
		AccessKey: accessKey, SecretKey: secretKey,
	})
	if err != nil {
		return err
	}
	d.sender = &sender{client: c, stream: demoStream}
	d.delivery = firehose.Name{Account: account, Region: d.config.Region, Name: demoDelivery}

	err = c.CreateStream(ctx, client.CreateStreamInput{StreamName: demoStream, ShardCount: demoShards})
	if err := unlessThere(err); err != nil {
		return fmt.Errorf("create the stream: %w", err)
	}
	// Nothing is put before the delivery stream is there, so that it sees every record.
	err = c.CreateDeliveryStream(ctx, demoDeliveryInput(account, d.config.Region))
	if err := unlessThere(err); err != nil {
		return fmt.Errorf("create the delivery stream: %w", err)
	}
	d.before, err = d.node.Firehose().Stats(d.delivery)
	return err
}

// unlessThere lets pass that an earlier run has made the thing.
func unlessThere(err error) error {
	var refused *client.Error
	if errors.As(err, &refused) && refused.Code == "ResourceInUseException" {
		return nil
	}
	return err
}

// produce puts records until there are no more, ctx ends, or one could not be put.
func (d *demo) produce(ctx context.Context) error {
	limit := &budget{}
	limit.left.Store(1 << 62)
	if d.options.records > 0 {
		limit.left.Store(d.options.records)
	}
	pace := &pacer{perSecond: d.options.rate, start: time.Now()}
	making, stop := context.WithCancel(ctx)
	defer stop()
	sources := make([]recordSource, demoProducers)
	if d.input != nil {
		input := readInput(making, d.input, limit)
		for i := range sources {
			sources[i] = input.source(pace)
		}
	} else {
		for i := range sources {
			sources[i] = generated(d.options.seed+uint64(i), limit, pace)
		}
	}
	failures := make([]error, len(sources))
	var producers sync.WaitGroup
	for i, source := range sources {
		producers.Go(func() {
			if failures[i] = d.produceFrom(making, source); failures[i] != nil {
				stop() // the others need not go on
			}
		})
	}
	producers.Wait()
	return errors.Join(distinct(failures)...)
}

// produceFrom is one producer: it makes a batch, puts it, and makes the next one. What it has made is put even
// when ctx ends meanwhile, but not for ever.
func (d *demo) produceFrom(ctx context.Context, source recordSource) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(lastBatches, stop)
		context.AfterFunc(sending, func() { timer.Stop() })
	})()
	for {
		records, err := source(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.sender.send(sending, records); err != nil {
			return err
		}
	}
}

// lastBatches is how long throttled batches are still tried when the demo is to end.
const lastBatches = 10 * time.Second

// distinct drops nil and what several producers report in the same words, as a failed input.
func distinct(failures []error) []error {
	seen := map[string]bool{}
	var kept []error
	for _, err := range failures {
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			kept = append(kept, err)
		}
	}
	return kept
}

// awaitDelivery returns when all that was put is in objects. When ctx ends while it waits, it leaves the rest to
// the next run; when ctx has ended before (then putting was interrupted), it waits all the same.
func (d *demo) awaitDelivery(ctx context.Context) error {
	interrupted := ctx.Done()
	if ctx.Err() != nil {
		interrupted = nil
		d.screen.print("Interrupted: delivering what was put. Ctrl-C once more leaves at once.\n")
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		stats, err := d.node.Firehose().Stats(d.delivery)
		if err != nil {
			return err
		}
		if d.undelivered(stats) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-interrupted:
			return nil
		case <-d.nodeEnd:
			return errNodeEnded
		}
	}
}

// undelivered is how many records are in the stream and in no object. Right after the start the delivery stream
// may not have seen the shards yet, so what this run has put is held against what arrived as well.
func (d *demo) undelivered(stats firehose.Stats) int64 {
	arrived := stats.DeliveredRecords + stats.LostRecords - d.before.DeliveredRecords - d.before.LostRecords
	return max(stats.BufferedRecords, d.sender.records.Load()-arrived, int64(stats.OpenObjects))
}
