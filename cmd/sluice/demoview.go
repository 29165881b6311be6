package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/client"
)

// demoDeliveryInput is the delivery stream as a user would define it.
func demoDeliveryInput(account, region string) client.CreateDeliveryStreamInput {
	role := "arn:aws:iam::" + account + ":role/demo"
	return client.CreateDeliveryStreamInput{
		DeliveryStreamName: demoDelivery,
		DeliveryStreamType: "KinesisStreamAsSource",
		KinesisStreamSourceConfiguration: &client.KinesisStreamSourceConfiguration{
			KinesisStreamARN: fmt.Sprintf("arn:aws:kinesis:%s:%s:stream/%s", region, account, demoStream),
			RoleARN:          role,
		},
		ExtendedS3DestinationConfiguration: &client.ExtendedS3DestinationConfiguration{
			RoleARN: role, BucketARN: "arn:aws:s3:::" + demoBucket,
			BufferingHints: &client.BufferingHints{
				SizeInMBs: demoBufferMB, IntervalInSeconds: demoBufferSeconds,
			},
			CompressionFormat: "GZIP",
			ProcessingConfiguration: &client.ProcessingConfiguration{
				Enabled: true, Processors: []client.Processor{{Type: firehose.AppendDelimiterToRecord}},
			},
		},
	}
}

func (d *demo) introduce() {
	limits := "AWS's limits per shard are on."
	if d.config.Streams.Limits == "off" {
		limits = "Limits per shard are off for this demo; --limits aws turns AWS's on."
	}
	what := "a made-up clickstream"
	if d.input != nil {
		what = d.input.name
	}
	until := "until Ctrl-C"
	switch {
	case d.options.records > 0:
		until = "for " + count(d.options.records, "record")
	case d.input != nil:
		until = "to its end"
	}
	if d.options.rate > 0 {
		until += fmt.Sprintf(", %s records/s (--rate changes that)", humanize.Commaf(d.options.rate))
	}
	d.screen.print(`Sluice %s serves on http://%s, health and metrics on http://%s.
Playing %s into the stream %s (%d shards), %s.
The delivery stream %s writes GZIP objects of up to %d MiB or %d seconds into %s.
%s
`, versionName(), d.node.Addr(), d.node.AdminAddr(), what, demoStream, demoShards, until,
		demoDelivery, demoBufferMB, demoBufferSeconds, d.place(), limits)
	if left := d.before.BufferedRecords; left > 0 {
		d.screen.print("From an earlier run %s are still to be delivered and come first.\n", count(left, "record"))
	}
	d.screen.print("\n")
}

// place is where the objects are.
func (d *demo) place() string {
	if d.config.Buckets.S3.Enabled() {
		return fmt.Sprintf("s3://%s at %s", demoBucket, d.config.Buckets.S3.Endpoint)
	}
	return filepath.Join(d.config.ObjectsIn(), demoBucket)
}

// sample is what has been put at one moment.
type sample struct {
	at             time.Time
	records, bytes int64
}

// watch shows how the demo is doing until ctx ends: every second, or more often where a block is drawn anew.
func (d *demo) watch(ctx context.Context) {
	period := time.Second
	if d.screen.terminal {
		period = 200 * time.Millisecond
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	window := []sample{{at: d.started}} // of about the last two seconds, for the rates
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			stats, err := d.node.Firehose().Stats(d.delivery)
			if err != nil {
				continue // the node is going down, and says why itself
			}
			latest := sample{now, d.sender.records.Load(), d.sender.bytes.Load()}
			window = append(window, latest)
			for len(window) > 2 && latest.at.Sub(window[0].at) > 2*time.Second {
				window = window[1:]
			}
			d.progress(window[0], latest, stats)
		}
	}
}

func (d *demo) progress(earlier, latest sample, stats firehose.Stats) {
	seconds := max(latest.at.Sub(earlier.at).Seconds(), 0.001)
	perSecond := int64(float64(latest.records-earlier.records) / seconds)
	bytesPerSecond := float64(latest.bytes-earlier.bytes) / seconds / 1e6
	buffered := d.undelivered(stats)
	objects := stats.DeliveredObjects - d.before.DeliveredObjects
	delivered := stats.DeliveredRecords - d.before.DeliveredRecords
	lag := stats.Lag(latest.at).Round(100 * time.Millisecond)

	trouble := ""
	if stats.LastError != nil {
		trouble = fmt.Sprintf("delivery fails and is tried again: %s", rootCause(stats.LastError))
	}
	block := []string{
		fmt.Sprintf("  put        %14s records  %10s records/s %8.1f MB/s",
			humanize.Comma(latest.records), humanize.Comma(perSecond), bytesPerSecond),
		fmt.Sprintf("  buffered   %14s records  lag %v", humanize.Comma(buffered), lag),
		fmt.Sprintf("  delivered  %14s records  %10s objects", humanize.Comma(delivered), humanize.Comma(objects)),
	}
	plain := fmt.Sprintf("put %d (%d records/s, %.1f MB/s), buffered %d, delivered %d in %d objects, lag %v",
		latest.records, perSecond, bytesPerSecond, buffered, delivered, objects, lag)
	if trouble != "" {
		block = append(block, "  "+trouble)
		plain += "; " + trouble
	}
	d.screen.show(block, plain)
}

// rootCause is the innermost error: the line has no room for all that was being done.
func rootCause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// summarize tells what became of the run.
func (d *demo) summarize() error {
	stats, err := d.node.Firehose().Stats(d.delivery)
	if err != nil {
		return err
	}
	d.screen.show(nil, "")
	put, bytes := d.sender.records.Load(), d.sender.bytes.Load()
	seconds := max(d.produced.Seconds(), 0.001)
	delivered := stats.DeliveredRecords - d.before.DeliveredRecords
	open := d.undelivered(stats)

	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	b.WriteString("This run:\n")
	line("put", "%s, %s in %.1f s (%s records/s, %.1f MB/s)", count(put, "record"), humanize.Bytes(uint64(bytes)),
		seconds, humanize.Comma(int64(float64(put)/seconds)), float64(bytes)/seconds/1e6)
	if again := d.sender.again.Load(); again > 0 {
		line("throttled", "%s to be sent again", count(again, "record"))
	}
	line("delivered", "%s in %s", count(delivered, "record"),
		count(stats.DeliveredObjects-d.before.DeliveredObjects, "object"))
	if stats.LostRecords > 0 {
		line("lost", "%s that the stream dropped before the bucket was back", count(stats.LostRecords, "record"))
	}
	b.WriteString("All runs on this data directory:\n")
	line("delivered", "%s, %s before compression, in %s", count(stats.DeliveredRecords, "record"),
		humanize.Bytes(uint64(stats.DeliveredBytes)), count(stats.DeliveredObjects, "object"))
	if open > 0 {
		line("waiting", "%s to be delivered by the next run", count(open, "record"))
	}
	line("objects", "%s", d.place())
	fmt.Fprintf(&b, "\nLook at them:\n  %s\n", d.look())
	d.screen.print("%s", b.String())
	return nil
}

// look is a command that shows some records of some object.
func (d *demo) look() string {
	if d.config.Buckets.S3.Enabled() {
		return fmt.Sprintf("aws --endpoint-url %s s3 ls --recursive s3://%s/", d.config.Buckets.S3.Endpoint, demoBucket)
	}
	return fmt.Sprintf("find %s -name '*.gz' -exec gzip -dc {} + 2>/dev/null | head -3", quote(d.place()))
}

// count is a number of things in words.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return humanize.Comma(n) + " " + thing + "s"
}

// quote makes a path one word of a shell.
func quote(path string) string {
	if strings.ContainsFunc(path, func(c rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@,", c)
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
