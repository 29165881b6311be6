// Package stream keeps streams of records in the logs of package shard: the shard map and the routing of
// records to shards, per-shard limits, sequence numbers, reading by position, and retention.
//
// A stream is one document in the catalog and one topic in the log engine, whose partition i is the log of
// the stream's shard number i. The document never changes while the stream's shards stay as they are, so it
// is decoded once per revision and then read without locks; writing and reading records touches nothing but
// logs and a few atomic words.
//
// Shards are split and merged by one change of the document (reshape.go), with the logs of those to be closed held shut
// meanwhile (gate.go). On-demand streams do it by themselves (scaler.go).
//
// The package knows neither HTTP nor JSON shapes nor AWS's error codes: whoever serves an API translates.
package stream
