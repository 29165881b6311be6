package firehose

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPrefixesAreEvaluatedAsOnAWS(t *testing.T) {
	at := time.Date(2026, time.March, 7, 0, 5, 9, 87_654_321, time.UTC) // a Saturday
	for _, c := range []struct{ prefix, want string }{
		{"", "2026/03/07/00/"},
		{"raw/", "raw/2026/03/07/00/"},
		{"raw", "raw2026/03/07/00/"},
		{"a/!{timestamp:yyyy}/b/!{timestamp:MM}-!{timestamp:dd}/", "a/2026/b/03-07/"},
		{"!{timestamp:yyyy/MM/dd/HH/mm/ss}", "2026/03/07/00/05/09"},
		{"!{timestamp:y-M-d-H-m-s}", "2026-3-7-0-5-9"},
		{"!{timestamp:yy uu uuuu yyy}", "26 26 2026 2026"},
		{"!{timestamp:MMM MMMM MMMMM L LL LLL}", "Mar March M 3 03 Mar"},
		{"!{timestamp:D DD DDD}", "66 66 066"},
		{"!{timestamp:E EEE EEEE EEEEE}", "Sat Sat Saturday S"},
		{"!{timestamp:a H k K h HH kk KK hh}", "AM 0 24 0 12 00 24 00 12"},
		{"!{timestamp:S SSS SSSSSSSSS}", "0 087 087654321"},
		{"!{timestamp:'year='yyyy'/month='MM'/'}", "year=2026/month=03/"},
		{"!{timestamp:h 'o''clock' ''}", "12 o'clock '"},
		{"!{timestamp:yyyy}é/", "2026é/"},
		{"a!b{c}$!/", "a!b{c}$!/2026/03/07/00/"},
	} {
		p, err := objectPrefix(c.prefix)
		if err != nil {
			t.Errorf("%q: %v", c.prefix, err)
			continue
		}
		if got := p.evaluate(at); got != c.want {
			t.Errorf("%q gives %q, want %q", c.prefix, got, c.want)
		}
	}
	afternoon := time.Date(2026, time.March, 7, 12, 0, 0, 0, time.UTC)
	if f, _ := parseTimeFormat("a h K k H"); f.format(afternoon) != "PM 12 0 12 12" {
		t.Errorf("noon is %q", f.format(afternoon))
	}
}

func TestRandomStringsDifferAtEachPlace(t *testing.T) {
	p, err := objectPrefix("!{firehose:random-string}/!{firehose:random-string}/")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 100 {
		got := p.evaluate(time.Unix(0, 0).UTC())
		m := regexp.MustCompile(`^([A-Za-z0-9]{11})/([A-Za-z0-9]{11})/1970/01/01/00/$`).FindStringSubmatch(got)
		if m == nil {
			t.Fatalf("prefix %q", got)
		}
		if seen[m[1]] || seen[m[2]] || m[1] == m[2] {
			t.Fatalf("%q repeats a random string", got)
		}
		seen[m[1]], seen[m[2]] = true, true
	}
}

func TestPrefixesThatAWSRefusesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, prefix, errorPrefix, want string
	}{
		{"not closed", "a/!{timestamp:yyyy", "", "no closing brace"},
		{"no namespace", "a/!{yyyy}", "", "namespace:value"},
		{"empty", "!{}", "", "namespace:value"},
		{"unknown namespace", "!{time:yyyy}", "", "namespace"},
		{"case matters", "!{Timestamp:yyyy}", "", "namespace"},
		{"unknown value", "!{firehose:random}", "", "random-string"},
		{"nothing to format", "!{timestamp:}", "", "empty"},
		{"week-based year", "!{timestamp:YYYY}", "", "letter Y"},
		{"zone", "!{timestamp:VV}", "", "letter V"},
		{"five years", "!{timestamp:yyyyy}", "", "at most 4"},
		{"three days", "!{timestamp:ddd}", "", "at most 2"},
		{"optional section", "!{timestamp:yyyy[MM]}", "", "reserved"},
		{"open quote", "!{timestamp:yyyy'x}", "", "closing quote"},
		{"error type in Prefix", "!{firehose:error-output-type}/", "e/!{firehose:error-output-type}/", "ErrorOutputPrefix only"},
		{"no error prefix", "!{timestamp:yyyy}/", "", "required"},
		{"random without error prefix", "!{firehose:random-string}/", "", "required"},
		{"error prefix without type", "", "e/!{timestamp:yyyy}/", "error-output-type"},
		{"error prefix not closed", "", "e/!{", "ErrorOutputPrefix"},
		{"too long as given", strings.Repeat("a", 1025), "", "at most 1024"},
		{"too long when evaluated", strings.Repeat("a", 500), "", "when evaluated"},
		{"months can be long", strings.Repeat("a", 504) + "!{timestamp:MMMM}", "e/", "513"},
		{"error prefix too long", "", strings.Repeat("a", 513), "513"},
		{"key too long", strings.Repeat("😀", 240), "", "bytes"},
		{"control characters", "a\nb/", "", "text"},
		{"not UTF-8", "a\xff/", "", "text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := check(clicks, definition(func(d *Definition) {
				d.S3.Prefix, d.S3.ErrorOutputPrefix = c.prefix, c.errorPrefix
			}))
			if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want an *InvalidError with %q", err, c.want)
			}
		})
	}
}

func TestPartitionKeysInPrefixesAreRefusedAsUnsupported(t *testing.T) {
	for _, p := range []string{"!{partitionKeyFromQuery:customer}/", "!{partitionKeyFromLambda:customer}/"} {
		_, err := check(clicks, definition(func(d *Definition) { d.S3.Prefix = p }))
		if _, ok := errors.AsType[*UnsupportedError](err); !ok {
			t.Errorf("%s: error %v, want an *UnsupportedError", p, err)
		}
	}
}

// FuzzPrefix checks that no prefix makes the parser panic, and that what it accepts is never longer than it
// said.
func FuzzPrefix(f *testing.F) {
	for _, s := range []string{
		"", "a/", "!{timestamp:yyyy/MM/dd}/", "!{firehose:random-string}", "!{timestamp:'a''b' EEEE MMMM}", "!{", "!{a:b}",
		"!{timestamp:SSSSSSSSS}é!{firehose:error-output-type}",
	} {
		f.Add(s, int64(1_234_567_890_123))
	}
	f.Fuzz(func(t *testing.T, s string, ms int64) {
		p, err := objectPrefix(s)
		if err != nil {
			return
		}
		const year9999 = 253_402_300_799_999
		at := time.UnixMilli(max(0, min(ms, year9999))).UTC()
		got := p.evaluate(at)
		chars, bytes := p.longest()
		if len(got) > bytes || utf8.RuneCountInString(got) > chars {
			t.Errorf("%q gives %q, of more than %d characters or %d bytes", s, got, chars, bytes)
		}
		if longest := p.evaluate(longestTime); len(got) > len(longest) {
			t.Errorf("%q gives %q, which is longer than %q", s, got, longest)
		}
	})
}
