package kinesis

import (
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// goodAndBad has requests at the bounds of what is allowed.
func goodAndBad() []string {
	requests := []string{`{}`}
	long := func(n int) string { return strings.Repeat("a", n) }
	arn := "arn:aws:kinesis:r:123456789012:stream/"
	for _, s := range []string{"s", "", "ü", "a b", long(128), long(129)} {
		requests = append(requests, `"StreamName":"`+s+`"`)
	}
	for _, s := range []string{arn + "s", arn + long(2048-len(arn)), arn + long(2049-len(arn)), arn, arn + "a b",
		"arn:aws:kinesis:r:12345678901:stream/s", "arn:aws:kinesis:r:123456789012:streams/s", `arn:aws:kinesis:r\n:123456789012:stream/s`,
		"arn:aws:firehose:r:123456789012:stream/s", "arn:aws:kinesis:r:123456789012:stream/ü", "arn:aws:a:b:kinesis:r:123456789012:stream/s"} {
		requests = append(requests, `"StreamARN":"`+s+`"`)
	}
	for _, s := range []string{"", "s", "aaaaaaaaaaaaaaaaaaaa-aaa"} {
		requests = append(requests, `"StreamName":"s","StreamId":"`+s+`"`)
	}
	var all []string
	for _, r := range requests {
		r = strings.Trim(r, "{}")
		if r != "" {
			r = "," + r
		}
		for _, key := range []string{`null`, `""`, `"k"`, `"` + long(256) + `"`, `"` + long(257) + `"`, `"` + strings.Repeat("ü", 256) + `"`} {
			for _, rest := range []string{``, `,"Data":""`, `,"Data":"","ExplicitHashKey":"0"`, `,"Data":"","ExplicitHashKey":"01"`} {
				entry := `{"PartitionKey":` + key + rest + `}`
				all = append(all, entry[:len(entry)-1]+r+`}`, entry[:len(entry)-1]+r+`,"SequenceNumberForOrdering":"1"}`,
					`{"Records":[`+entry+`]`+r+`}`)
			}
		}
		all = append(all, `{"Records":[]`+r+`}`, `{"Records":null`+r+`}`)
		for _, n := range []int{500, 501, 502} {
			if r != "" && !strings.Contains(r, `"StreamName":"s"`) {
				break // long lists are slow to check
			}
			all = append(all, `{"Records":[`+strings.Repeat(`{"Data":"","PartitionKey":"k"},`, n-1)+`{"Data":"","PartitionKey":"k"}]`+r+`}`)
		}
		for _, limit := range []string{"null", "0", "1", "10000", "10001"} {
			for _, it := range []string{`null`, `""`, `"` + long(512) + `"`, `"` + long(513) + `"`} {
				all = append(all, `{"Limit":`+limit+`,"ShardIterator":`+it+r+`}`)
			}
		}
	}
	return all
}

func TestWhatIsKnownAtAGlanceToBeGoodIsGoodByTheRules(t *testing.T) {
	good := 0
	for _, request := range goodAndBad() {
		for _, in := range []interface {
			check() error
			checkRules() error
		}{&PutRecordInput{}, &PutRecordsInput{}, &GetRecordsInput{}} {
			if err := wire.DecodeJSON([]byte(request), in); err != nil {
				continue
			}
			quick, slow := in.check(), in.checkRules()
			if (quick == nil) != (slow == nil) {
				t.Fatalf("%T %.200s:\nquick: %v\nrules: %v", in, request, quick, slow)
			}
			if quick == nil {
				good++
			}
		}
	}
	if good < 10 {
		t.Errorf("%d requests were good; there should be more among them", good)
	}
}
