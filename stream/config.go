package stream

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// Config is what an operator sets for all streams, or for some by name.
type Config struct {
	// Limits is what each shard takes and gives: "aws" for 1 MiB and 1,000 records written and 2 MiB and 5
	// calls read per second, as on AWS; "off" for no limit but the machine's.
	Limits string `yaml:"limits" env:"LIMITS"`

	// ShardLimits sets single limits of each shard, of all streams that do not say "aws" or "off" for themselves.
	ShardLimits ShardLimitConfig `yaml:"shard_limits" envPrefix:"SHARD_LIMITS_"`

	// ShardQuota is how many open shards the provisioned streams of one account may have in one region; 0
	// for any number. AWS starts accounts with 200 or more; a machine of one's own needs no such guard.
	ShardQuota int `yaml:"shard_quota" env:"SHARD_QUOTA"`

	// OnDemandStreamQuota is how many on-demand streams one account may have in one region; 0 for any number. AWS
	// starts accounts with 50.
	OnDemandStreamQuota int `yaml:"on_demand_stream_quota" env:"ON_DEMAND_STREAM_QUOTA"`
	// OnDemand says how on-demand streams scale.
	OnDemand OnDemandConfig `yaml:"on_demand" envPrefix:"ON_DEMAND_"`

	// RetentionBytes bounds what each shard takes on disk: beyond it the oldest records go, in whole segments and
	// before their time. 0 for no bound but time.
	RetentionBytes int64 `yaml:"retention_bytes" env:"RETENTION_BYTES"`

	// Streams has settings for single streams, by name, in every account and region.
	Streams map[string]StreamConfig `yaml:"streams" env:"-"`
}

// OnDemandConfig bounds what on-demand streams do by themselves. Zeros stand for the defaults.
type OnDemandConfig struct {
	// MinShards and MaxShards are the fewest and the most open shards that an on-demand stream is brought to.
	MinShards int `yaml:"min_shards" env:"MIN_SHARDS"`
	MaxShards int `yaml:"max_shards" env:"MAX_SHARDS"`
	// MergeAfter is how long neighboring shards must have had little to do before they are merged. It should be longer
	// than readers lag behind.
	MergeAfter time.Duration `yaml:"merge_after" env:"MERGE_AFTER"`
}

func (c OnDemandConfig) withDefaults() OnDemandConfig {
	d := DefaultOnDemand()
	if c.MinShards != 0 {
		d.MinShards = c.MinShards
	}
	if c.MaxShards != 0 {
		d.MaxShards = c.MaxShards
	}
	if c.MergeAfter != 0 {
		d.MergeAfter = c.MergeAfter
	}
	return d
}

func (c OnDemandConfig) validate() error {
	c = c.withDefaults()
	var problems []error
	if c.MinShards < 1 || c.MinShards > MaxShards {
		problems = append(problems, fmt.Errorf("on_demand.min_shards: %d, must be 1 to %d", c.MinShards, MaxShards))
	}
	if c.MaxShards < c.MinShards || c.MaxShards > MaxShards {
		problems = append(problems, fmt.Errorf("on_demand.max_shards: %d, must be from on_demand.min_shards to %d", c.MaxShards, MaxShards))
	}
	if c.MergeAfter < minMergeAfter {
		problems = append(problems, fmt.Errorf("on_demand.merge_after: %s, must be %s or more", c.MergeAfter, minMergeAfter))
	}
	return errors.Join(problems...)
}

// ShardLimitConfig sets limits of each shard per second; 0 means none, and what is left out is as Config.Limits says.
type ShardLimitConfig struct {
	WriteBytes   *int `yaml:"write_bytes" env:"WRITE_BYTES"`
	WriteRecords *int `yaml:"write_records" env:"WRITE_RECORDS"`
	ReadBytes    *int `yaml:"read_bytes" env:"READ_BYTES"`
	ReadCalls    *int `yaml:"read_calls" env:"READ_CALLS"`
	// ConsumerBytes is for each consumer with enhanced fan-out.
	ConsumerBytes *int `yaml:"consumer_bytes" env:"CONSUMER_BYTES"`
}

// fields pairs the settings with the limits they are for.
func (c ShardLimitConfig) fields(limits *Limits) []limitField {
	return StreamConfig{
		WriteBytes: c.WriteBytes, WriteRecords: c.WriteRecords, ReadBytes: c.ReadBytes, ReadCalls: c.ReadCalls,
		ConsumerBytes: c.ConsumerBytes,
	}.fields(limits)
}

// StreamConfig is what an operator sets for one stream. What is left out is as for all streams.
type StreamConfig struct {
	// Limits is "aws" or "off".
	Limits string `yaml:"limits"`
	// WriteBytes, WriteRecords, ReadBytes and ReadCalls set a limit of each shard per second; 0 means none.
	WriteBytes   *int `yaml:"write_bytes"`
	WriteRecords *int `yaml:"write_records"`
	ReadBytes    *int `yaml:"read_bytes"`
	ReadCalls    *int `yaml:"read_calls"`
	// ConsumerBytes is the same for each consumer with enhanced fan-out.
	ConsumerBytes *int `yaml:"consumer_bytes"`
	// RetentionBytes is Config.RetentionBytes for this stream; 0 means none.
	RetentionBytes *int64 `yaml:"retention_bytes"`
	// Compress is false if what the shards keep is not to be compressed.
	Compress *bool `yaml:"compress"`
}

const (
	limitsAWS = "aws"
	limitsOff = "off"

	// maxLimit keeps the arithmetic of limits far from overflow.
	maxLimit = 1 << 40

	// minMergeAfter keeps an on-demand stream from using up shard numbers.
	minMergeAfter = 10 * time.Second
)

// DefaultConfig has AWS's limits and no quota.
func DefaultConfig() Config { return Config{Limits: limitsAWS, OnDemand: DefaultOnDemand()} }

// DefaultOnDemand begins with as many shards as AWS.
func DefaultOnDemand() OnDemandConfig {
	return OnDemandConfig{MinShards: OnDemandShards, MaxShards: 512, MergeAfter: 15 * time.Minute}
}

// Validate says everything that is wrong.
func (c *Config) Validate() error {
	var problems []error
	if c.Limits != limitsAWS && c.Limits != limitsOff {
		problems = append(problems, fmt.Errorf(`limits: %q, must be "aws" or "off"`, c.Limits))
	}
	if c.ShardQuota < 0 {
		problems = append(problems, fmt.Errorf("shard_quota: %d, must be 0 or more", c.ShardQuota))
	}
	if c.OnDemandStreamQuota < 0 {
		problems = append(problems, fmt.Errorf("on_demand_stream_quota: %d, must be 0 or more", c.OnDemandStreamQuota))
	}
	if err := c.OnDemand.validate(); err != nil {
		problems = append(problems, err)
	}
	for _, f := range c.ShardLimits.fields(&Limits{}) {
		if f.set != nil && (*f.set < 0 || *f.set > maxLimit) {
			problems = append(problems, fmt.Errorf("shard_limits.%s: %d, must be from 0 to %d", f.name, *f.set, maxLimit))
		}
	}
	if c.RetentionBytes < 0 {
		problems = append(problems, fmt.Errorf("retention_bytes: %d, must be 0 or more", c.RetentionBytes))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Streams)) {
		if err := c.Streams[name].validate(name); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (c StreamConfig) validate(name string) error {
	var problems []error
	if (Name{Account: "-", Region: "-", Name: name}).check() != nil {
		problems = append(problems, fmt.Errorf("streams: %q is no stream's name", clip(name)))
	}
	if c.Limits != "" && c.Limits != limitsAWS && c.Limits != limitsOff {
		problems = append(problems, fmt.Errorf(`streams.%s.limits: %q, must be "aws" or "off"`, name, c.Limits))
	}
	if c.RetentionBytes != nil && *c.RetentionBytes < 0 {
		problems = append(problems, fmt.Errorf("streams.%s.retention_bytes: %d, must be 0 or more", name, *c.RetentionBytes))
	}
	for _, f := range c.fields(&Limits{}) {
		if f.set != nil && (*f.set < 0 || *f.set > maxLimit) {
			problems = append(problems, fmt.Errorf("streams.%s.%s: %d, must be from 0 to %d", name, f.name, *f.set, maxLimit))
		}
	}
	return errors.Join(problems...)
}

type limitField struct {
	name string
	set  *int // nil when the operator left it out
	of   *int
}

// fields pairs the settings with the limits they are for.
func (c StreamConfig) fields(limits *Limits) []limitField {
	return []limitField{
		{"write_bytes", c.WriteBytes, &limits.WriteBytes},
		{"write_records", c.WriteRecords, &limits.WriteRecords},
		{"read_bytes", c.ReadBytes, &limits.ReadBytes},
		{"read_calls", c.ReadCalls, &limits.ReadCalls},
		{"consumer_bytes", c.ConsumerBytes, &limits.ConsumerBytes},
	}
}

// OwnLimits is how many streams have limits of their own.
func (c *Config) OwnLimits() int {
	n := 0
	for _, s := range c.Streams {
		if s.Limits != "" || slices.ContainsFunc(s.fields(&Limits{}), func(f limitField) bool { return f.set != nil }) {
			n++
		}
	}
	return n
}

// settingsFor are what the logs of the named stream are told.
func (c *Config) settingsFor(name string) shard.Settings {
	settings := shard.Settings{RetentionBytes: c.RetentionBytes}
	override := c.Streams[name]
	if override.RetentionBytes != nil {
		settings.RetentionBytes = *override.RetentionBytes
	}
	settings.Plain = override.Compress != nil && !*override.Compress
	return settings
}

// limited reports whether AWS's limits hold for the named stream.
func (c *Config) limited(name string) bool {
	if own := c.Streams[name].Limits; own != "" {
		return own == limitsAWS
	}
	return c.Limits == limitsAWS
}

// limitsFor are the limits of each shard of the named stream.
func (c *Config) limitsFor(name string) Limits {
	var limits Limits
	if c.limited(name) {
		limits = AWSLimits()
	}
	override := c.Streams[name]
	set := override.fields(&limits)
	if override.Limits == "" {
		set = append(c.ShardLimits.fields(&limits), set...)
	}
	for _, f := range set {
		if f.set != nil {
			*f.of = *f.set
		}
	}
	return limits
}
