package kinesis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

var caller = wire.Caller{Account: "123456789012", Region: "eu-central-1"}

// passes is how many of a hundred calls at one moment pass.
func passes(r *rates, operation string, streamName, resourceARN *string, now time.Time) (n int, refusal error) {
	for range 100 {
		if err := r.take(caller, operation, streamName, resourceARN, now); err != nil {
			refusal = err
		} else {
			n++
		}
	}
	return n, refusal
}

func TestOperationsMayBeCalledAsOftenAsOnAWS(t *testing.T) {
	r := newRates(Config{ControlLimits: limitsAWS, ControlRates: map[string]int{"CreateStream": 2, "ListStreams": 0}})
	now := time.Now()
	orders, clicks := "orders", "clicks"
	arn := "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
	for _, c := range []struct {
		operation string
		name, arn *string
		want      int
		refusal   string
	}{
		{"DescribeStream", &orders, nil, 10, "LimitExceededException: Rate exceeded for stream orders under account 123456789012."},
		{"DescribeStream", &clicks, nil, 0, "LimitExceededException: Rate exceeded for stream clicks under account 123456789012."},
		{"EnableEnhancedMonitoring", &orders, nil, 5, "LimitExceededException: Rate exceeded for stream orders under account 123456789012."},
		{"EnableEnhancedMonitoring", nil, &arn, 0, "LimitExceededException: Rate exceeded for stream orders under account 123456789012."},
		{"EnableEnhancedMonitoring", &clicks, nil, 5, "LimitExceededException: Rate exceeded for stream clicks under account 123456789012."},
		{"DescribeLimits", nil, nil, 1, "LimitExceededException: Rate exceeded for account 123456789012."},
		{"CreateStream", &orders, nil, 2, "LimitExceededException: Rate exceeded for stream orders under account 123456789012."},
		{"ListStreams", nil, nil, 100, ""},
		{"PutRecord", &orders, nil, 100, ""},
	} {
		n, refusal := passes(r, c.operation, c.name, c.arn, now)
		if text := fmt.Sprint(refusal); n != c.want || refusal != nil && text != c.refusal || refusal == nil && c.refusal != "" {
			t.Errorf("%s: %d pass, want %d; %v", c.operation, n, c.want, refusal)
		}
	}
	if n, _ := passes(r, "DescribeStream", &orders, nil, now.Add(300*time.Millisecond)); n != 3 {
		t.Errorf("0.3 s later %d pass", n)
	}
	if n, _ := passes(r, "DescribeStream", &orders, nil, now.Add(time.Hour)); n != 10 {
		t.Errorf("an hour later %d pass", n)
	}
	off := newRates(DefaultConfig())
	if n, _ := passes(off, "DescribeLimits", nil, nil, now); n != 100 {
		t.Errorf("without limits %d pass", n)
	}
}

func TestWhatRatesRememberIsBounded(t *testing.T) {
	r := newRates(Config{ControlLimits: limitsAWS})
	now := time.Now()
	for i := range 50_000 {
		name := fmt.Sprint("s", i)
		now = now.Add(time.Millisecond)
		if err := r.take(caller, "ListShards", &name, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.tat) > 2*smallestSweep {
		t.Errorf("%d keys", len(r.tat))
	}
}

func TestALimitOfWhatIsNoControlOperationIsRefused(t *testing.T) {
	for _, c := range []Config{
		{ControlLimits: "some"},
		{ControlRates: map[string]int{"PutRecord": 1}},
		{ControlRates: map[string]int{"ListStreams": -1}},
		{ControlRates: map[string]int{"ListStreams": 1_000_001}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "control_") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []Config{{}, DefaultConfig(), {ControlLimits: "aws", ControlRates: map[string]int{"ListStreams": 0}}} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryOperationWithALimitIsOne(t *testing.T) {
	for operation := range awsRates {
		if _, ok := inputRules[operation]; !ok {
			t.Errorf("%s is no operation", operation)
		}
	}
}
