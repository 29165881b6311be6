package loadgen

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEveryValueIsInTheBucketThatEndsAtOrJustAboveIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "v")
		i := bucketOf(v)
		if i < 0 || i >= buckets {
			t.Fatalf("bucket %d of %d is outside 0 to %d", i, v, buckets-1)
		}
		end := bucketEnd(i)
		if end < v {
			t.Fatalf("bucket of %d ends at %d", v, end)
		}
		if over := end - v; over > v/subBuckets {
			t.Fatalf("bucket of %d ends %d above it", v, over)
		}
		if i > 0 && bucketEnd(i-1) >= v {
			t.Fatalf("%d belongs to bucket %d, not %d", v, i-1, i)
		}
	})
}

func TestQuantilesAgreeWithSortingTheDurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 300).Draw(t, "values")
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		q := rapid.Float64Range(0, 1).Draw(t, "q")

		// Two connections that are merged must count like one.
		var h, second Histogram
		for _, v := range values[:cut] {
			h.Record(time.Duration(v))
		}
		for _, v := range values[cut:] {
			second.Record(time.Duration(v))
		}
		h.Merge(&second)

		slices.Sort(values)
		rank := max(int(math.Ceil(q*float64(len(values)))), 1)
		exact := values[rank-1]
		got := int64(h.Quantile(q))
		if got < exact || got > exact+exact/subBuckets {
			t.Fatalf("%v-quantile is %d, exactly it is %d", q, got, exact)
		}
		if h.Count() != uint64(len(values)) {
			t.Fatalf("counted %d of %d", h.Count(), len(values))
		}
	})
}

func TestQuantileOfNothingIsZero(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Fatalf("got %v", got)
	}
}
