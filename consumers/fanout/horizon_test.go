package fanout

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/stream"
)

// Retention takes away what a consumer has not got to: it goes on with the first record that is left.
func TestAContinuationBehindTheHorizonGoesOnWithWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		c := w.register(name, "c")
		w.put(name, "a")
		s := w.subscribe(c, oldest)
		synctest.Wait()
		s.want("at first", "a")
		from := s.last().Continuation
		s.end(ErrTakenOver)
		var want []string
		for i := range 30 { // an hour apart, of which 24 are kept
			v := fmt.Sprint(i)
			w.put(name, v)
			if i > 6 {
				want = append(want, v)
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Second) // the horizon itself is kept
		for i, how := range []stream.StartType{stream.AtSequence, stream.AfterSequence} {
			c := w.register(name, fmt.Sprint("later", i))
			s := w.subscribe(c, stream.StartAt{Type: how, Sequence: from})
			synctest.Wait()
			s.want("after the horizon has passed", want...)
			w.put(name, fmt.Sprint("last", i))
			want = append(want, fmt.Sprint("last", i))
			synctest.Wait()
			s.want("and follows", want...)
			s.end(ErrTakenOver)
		}
	})
}
