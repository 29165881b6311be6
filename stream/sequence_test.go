package stream

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
)

func (n SequenceNumber) big() *big.Int {
	b := new(big.Int).SetUint64(n.hi)
	b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(n.mid))
	return b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(n.lo))
}

func genTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<36-1).Draw(t, "seconds"), 0).UTC()
	})
}

func genShard() *rapid.Generator[Shard] {
	return rapid.Custom(func(t *rapid.T) Shard {
		return Shard{Index: rapid.IntRange(0, maxShardIndex).Draw(t, "index"), Created: genTime().Draw(t, "created")}
	})
}

func genOffset() *rapid.Generator[shard.Offset] {
	return rapid.OneOf(
		rapid.Map(rapid.Int64Range(0, 1000), func(n int64) shard.Offset { return shard.Offset(n) }),
		rapid.Map(rapid.Int64Range(0, math.MaxInt64-2), func(n int64) shard.Offset { return shard.Offset(n) }),
	)
}

// The layout, spelled out in hexadecimal digits: every field of version 2 starts at a digit.
func TestSequenceNumbersHaveAWSsLayout(t *testing.T) {
	sh := Shard{Index: 0x1a, Created: time.Unix(0x0_5555_5555, 0)}
	n := sh.SequenceNumber(0x0123_4567_89ab_cdee, time.Unix(0x0_6666_6666, 0))
	digits := strings.Join([]string{
		"2",                // version
		"055555555",        // shard created
		"a",                // low four bits of the shard's number
		"0123456789abcdef", // index
		"00",
		"066666666", // arrived
		"0000001a",  // the shard's number
		"2",         // version
	}, "")
	want, _ := new(big.Int).SetString(digits, 16)
	if got := n.String(); got != want.String() {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Numbers that AWS gave, as its documentation prints them.
func TestSequenceNumbersOfAWSAreUnderstood(t *testing.T) {
	for text, index := range map[string]int{
		"49590338271490256608559692538361571095921575989136588898": 6,
		"49543463076548007577105092703039560359975228518395019266": 0,
		"49543463076570308322303623326179887152428262250726293522": 1,
	} {
		n, err := ParseSequence(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if n.String() != text || n.ShardIndex() != index {
			t.Errorf("%s is printed as %s, of shard %d", text, n, n.ShardIndex())
		}
		if year := n.ShardCreated().Year(); year < 2014 || year > 2019 {
			t.Errorf("%s: shard created %v", text, n.ShardCreated())
		}
	}
}

func TestSequenceNumbersSurvivePrintingAndParsing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sh, offset, arrived := genShard().Draw(t, "shard"), genOffset().Draw(t, "offset"), genTime().Draw(t, "arrived")
		n := sh.SequenceNumber(offset, arrived)
		text := n.String()
		if want := n.big().String(); text != want || len(text) != sequenceDigits {
			t.Fatalf("printed as %s, want %s", text, want)
		}
		back, err := ParseSequence(text)
		if err != nil || back != n {
			t.Fatalf("%s is parsed as %#v, %v", text, back, err)
		}
		if n.ShardIndex() != sh.Index || !n.ShardCreated().Equal(sh.Created) || !n.Arrived().Equal(arrived) {
			t.Fatalf("%s is of shard %d created %v, arrived %v", text, n.ShardIndex(), n.ShardCreated(), n.Arrived())
		}
		if got, err := sh.offset(n, math.MaxInt64); err != nil || got != offset {
			t.Fatalf("%s leads to offset %d, %v", text, got, err)
		}
	})
}

func TestOrderByOffsetIsOrderBySequenceNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sh := genShard().Draw(t, "shard")
		a, b := genOffset().Draw(t, "a"), genOffset().Draw(t, "b")
		// Within a log time never decreases, but even if it did: the offset decides.
		na := sh.SequenceNumber(a, genTime().Draw(t, "arrived a"))
		nb := sh.SequenceNumber(b, genTime().Draw(t, "arrived b"))
		if got := na.Compare(nb); got != na.big().Cmp(nb.big()) || (a != b && (got < 0) != (a < b)) {
			t.Fatalf("offset %d is %s, offset %d is %s, compared %d", a, na, b, nb, got)
		}
		sh.Closed = genTime().Draw(t, "closed")
		end, ok := sh.Ending()
		if start := sh.Starting(); start.Compare(na) >= 0 || !ok || end.Compare(na) <= 0 {
			t.Fatalf("%s is not between %s and %s", na, start, end)
		}
		child := Shard{Index: rapid.IntRange(0, maxShardIndex).Draw(t, "child"), Created: sh.Created.Add(time.Second)}
		if child.Created.Unix() <= secondsMask && child.Starting().Compare(end) <= 0 {
			t.Fatalf("child starts at %s, its parent ends at %s", child.Starting(), end)
		}
	})
}

func TestThePlaceBehindARecordIsBetweenItAndTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sh := genShard().Draw(t, "shard")
		offset := genOffset().Filter(func(o shard.Offset) bool { return o < endIndex-2 }).Draw(t, "offset")
		at := genTime().Draw(t, "arrived")
		behind := sh.Behind(offset+1, at)
		if parsed, err := ParseSequence(behind.String()); err != nil || parsed != behind {
			t.Fatalf("%s is read as %s, %v", behind, parsed, err)
		}
		before, next := sh.SequenceNumber(offset, genTime().Draw(t, "of the one before")), sh.SequenceNumber(offset+1, at)
		if before.Compare(behind) >= 0 || behind.Compare(next) >= 0 {
			t.Fatalf("%s is not between %s and %s", behind, before, next)
		}
	})
}

func TestAnOpenShardHasNoEnd(t *testing.T) {
	if end, ok := (&Shard{}).Ending(); ok || !end.IsZero() {
		t.Errorf("got %v", end)
	}
}

func TestTextThatIsNoSequenceNumberIsRefused(t *testing.T) {
	good := (&Shard{Index: 3, Created: time.Unix(1_700_000_000, 0)}).SequenceNumber(7, time.Unix(1_700_000_001, 0))
	change := func(bit uint) string {
		b := good.big()
		return b.SetBit(b, int(bit), b.Bit(int(bit))^1).String()
	}
	for what, text := range map[string]string{
		"nothing": "", "zero": "0", "a letter": good.String()[:55] + "x", "a sign": "-" + good.String()[1:],
		"a leading zero": "0" + good.String()[1:], "too short": good.String()[1:], "too long": good.String() + "0",
		"the highest of its length": strings.Repeat("9", sequenceDigits), "an arrow": "→" + good.String()[3:],
		"last version nibble": change(0), "first version nibble": change(184), "shard's number twice": change(144),
		"zero byte": change(73), "index sign": change(143), "shard number sign": change(35),
		"a book": strings.Repeat("4", 1<<20),
	} {
		if n, err := ParseSequence(text); !errors.Is(err, ErrInvalidSequence) {
			t.Errorf("%s: parsed as %s, %v", what, n, err)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: error of %d bytes", what, len(err.Error()))
		}
	}
}

func FuzzParseSequence(f *testing.F) {
	f.Add("49590338271490256608559692538361571095921575989136588898")
	f.Add("0")
	f.Add((&Shard{Index: 9999, Created: time.Unix(1_700_000_000, 0)}).SequenceNumber(1<<40, time.Unix(1_700_000_001, 0)).String())
	f.Add(strings.Repeat("9", sequenceDigits))
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSequence(text)
		if err != nil {
			return
		}
		if n.String() != text {
			t.Fatalf("%q is printed as %s", text, n)
		}
		sh := Shard{Index: n.ShardIndex(), Created: n.ShardCreated(), Closed: time.Unix(1, 0)}
		if _, err := sh.offset(n, math.MaxInt64); err != nil {
			t.Fatalf("%s: %v", n, err)
		}
	})
}

func BenchmarkSequenceNumberAppend(b *testing.B) {
	sh := Shard{Index: 3, Created: time.Unix(1_700_000_000, 0)}
	n := sh.SequenceNumber(123_456_789, time.Unix(1_700_000_001, 0))
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = n.Append(buf[:0])
	}
}

func BenchmarkParseSequence(b *testing.B) {
	text := (&Shard{Created: time.Unix(1_700_000_000, 0)}).SequenceNumber(5, time.Unix(1_700_000_001, 0)).String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSequence(text); err != nil {
			b.Fatal(err)
		}
	}
}
