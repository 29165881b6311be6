package kinesis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Config is what an operator sets for the API of Kinesis.
type Config struct {
	// ControlLimits is how often the operations that are not about records may be called: "aws" for as often as on AWS,
	// "off" for any number of times.
	ControlLimits string `yaml:"control_limits" env:"CONTROL_LIMITS"`

	// ControlRates are calls per second of single operations, by their name, instead of AWS's or of none; 0 is any number.
	ControlRates map[string]int `yaml:"control_rates" env:"-"`
}

const (
	limitsAWS = "aws"
	limitsOff = "off"
)

// DefaultConfig has no limits.
func DefaultConfig() Config { return Config{ControlLimits: limitsOff} }

// Validate says everything that is wrong.
func (c *Config) Validate() error {
	var problems []error
	if c.ControlLimits != "" && c.ControlLimits != limitsAWS && c.ControlLimits != limitsOff {
		problems = append(problems, fmt.Errorf(`control_limits: %q, must be "aws" or "off"`, c.ControlLimits))
	}
	for _, operation := range slices.Sorted(maps.Keys(c.ControlRates)) {
		const most = 1_000_000
		switch n := c.ControlRates[operation]; {
		case awsRates[operation].perSecond == 0:
			problems = append(problems, fmt.Errorf("control_rates: %q is no operation with such a limit", clip(operation)))
		case n < 0 || n > most:
			problems = append(problems, fmt.Errorf("control_rates.%s: %d, must be from 0 to %d", operation, n, most))
		}
	}
	return errors.Join(problems...)
}

// LimitsControl reports whether there is an operation that can be called too often.
func (c *Config) LimitsControl() bool {
	for _, n := range c.ControlRates {
		if n > 0 {
			return true
		}
	}
	return c.ControlLimits == limitsAWS
}

// rate is how often an operation may be called.
type rate struct {
	perSecond int
	per       scope
}

// scope is what the calls of an operation are counted for.
type scope int

const (
	perAccount scope = iota // in a region
	perStream
)

// awsRates are AWS's (Amazon Kinesis Data Streams Developer Guide, "Quotas and limits", and the API's reference).
var awsRates = map[string]rate{
	"AddTagsToStream":               {5, perAccount},
	"CreateStream":                  {5, perAccount},
	"DecreaseStreamRetentionPeriod": {5, perStream},
	"DeleteResourcePolicy":          {5, perAccount},
	"DeleteStream":                  {5, perAccount},
	"DeregisterStreamConsumer":      {5, perStream},
	"DescribeAccountSettings":       {5, perAccount},
	"DescribeLimits":                {1, perAccount},
	"DescribeStream":                {10, perAccount},
	"DescribeStreamConsumer":        {20, perStream},
	"DescribeStreamSummary":         {20, perAccount},
	"DisableEnhancedMonitoring":     {5, perStream},
	"EnableEnhancedMonitoring":      {5, perStream},
	"GetResourcePolicy":             {5, perAccount},
	"IncreaseStreamRetentionPeriod": {5, perStream},
	"ListShards":                    {1000, perStream},
	"ListStreamConsumers":           {5, perStream},
	"ListStreams":                   {5, perAccount},
	"ListTagsForResource":           {5, perAccount},
	"ListTagsForStream":             {5, perAccount},
	"MergeShards":                   {5, perAccount},
	"PutResourcePolicy":             {5, perAccount},
	"RegisterStreamConsumer":        {5, perStream},
	"RemoveTagsFromStream":          {5, perAccount},
	"SplitShard":                    {5, perAccount},
	"StartStreamEncryption":         {5, perStream},
	"StopStreamEncryption":          {5, perStream},
	"TagResource":                   {5, perAccount},
	"UntagResource":                 {5, perAccount},
	"UpdateAccountSettings":         {5, perAccount},
	"UpdateMaxRecordSize":           {5, perStream},
	"UpdateShardCount":              {5, perStream},
	"UpdateStreamMode":              {5, perStream},
	"UpdateStreamWarmThroughput":    {5, perStream},
}

// rates are the limits in force and what they remember.
type rates struct {
	limits map[string]rate

	mu     sync.Mutex            // guards what follows
	tat    map[rateKey]time.Time // as in the generic cell rate algorithm: up to when the limit has been used
	sweepN int                   // when there are so many, those that are of no more use are removed
}

type rateKey struct{ operation, account, region, stream string }

// smallestSweep is how many keys are kept without a thought.
const smallestSweep = 1000

func newRates(c Config) *rates {
	r := &rates{limits: map[string]rate{}, tat: map[rateKey]time.Time{}, sweepN: smallestSweep}
	for operation, limit := range awsRates {
		own, set := c.ControlRates[operation]
		switch {
		case set && own > 0:
			r.limits[operation] = rate{own, limit.per}
		case !set && c.ControlLimits == limitsAWS:
			r.limits[operation] = limit
		}
	}
	return r
}

// take counts a call, or refuses it. The stream is named by its name or by an ARN, or not at all.
func (r *rates) take(c wire.Caller, operation string, streamName, resourceARN *string, now time.Time) error {
	limit, limited := r.limits[operation]
	if !limited {
		return nil
	}
	name := ""
	if streamName != nil {
		name = *streamName
	} else if resourceARN != nil {
		named, _ := splitResource(*resourceARN)
		name = named.stream.Name
	}
	key := rateKey{operation: operation, account: c.Account, region: c.Region}
	if limit.per == perStream {
		key.stream = name
	}
	if r.pass(key, time.Second/time.Duration(limit.perSecond), now) {
		return nil
	}
	if name == "" {
		return wire.Faultf(limitExceeded, "Rate exceeded for account %s.", c.Account)
	}
	return wire.Faultf(limitExceeded, "Rate exceeded for stream %s under account %s.", name, c.Account)
}

// pass lets a call pass that uses up so much of a second. A second's worth may come at once.
func (r *rates) pass(key rateKey, cost time.Duration, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	tat := r.tat[key]
	if tat.Before(now) {
		tat = now
	}
	if tat.Sub(now) > time.Second-cost {
		return false
	}
	r.tat[key] = tat.Add(cost)
	if len(r.tat) >= r.sweepN {
		maps.DeleteFunc(r.tat, func(_ rateKey, tat time.Time) bool { return !tat.After(now) })
		r.sweepN = max(smallestSweep, 2*len(r.tat))
	}
	return true
}
