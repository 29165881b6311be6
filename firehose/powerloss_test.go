package firehose

import (
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// TestAcknowledgedRecordsSurvivePowerLossesAndAreDeliveredOnce runs on the embedded engine, on a disk whose power
// goes at some call, again and again. The bucket is elsewhere, and keeps what it has.
func TestAcknowledgedRecordsSurvivePowerLossesAndAreDeliveredOnce(t *testing.T) {
	const rounds = 15
	e := newEnv(t)
	random := rand.New(rand.NewPCG(1, 2))
	config := journal.DefaultConfig()
	config.JournalFileBytes, config.SegmentBytes, config.MinFreeBytes = 8<<20, 1<<20, 1
	disk := vfs.NewMem()
	acknowledged := map[string]bool{}
	for round := range rounds + 1 {
		power := vfs.Inject(disk)
		engine, err := journal.Open(journal.Options{
			FS: power, Dir: "/data", Config: config, MaxAppendBytes: 2 << 20, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		s, stop := e.startOn(engine, e.store)
		if round == 0 {
			e.create(s, clicks, definition(compressed, buffering(1, 0)))
		}
		if round == rounds {
			await(t, func() bool { return e.stats(s, clicks).BufferedRecords == 0 })
			stop()
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		loss, hook := vfs.CrashAt(disk, power.Calls()+1+random.Int64N(300), random.Uint64())
		power.Hook(hook)
		for i := 0; loss.After() == nil; i++ {
			batch := lines(round*1_000_000+i*10, 10, 20_000)
			var records [][]byte
			for _, r := range batch {
				records = append(records, []byte(r))
			}
			if _, err := s.Put(t.Context(), clicks, records); err != nil {
				break
			}
			for _, r := range batch {
				acknowledged[r] = true
			}
		}
		await(t, func() bool { return loss.After() != nil })
		stop()
		if err := engine.Close(); err == nil {
			t.Error("the engine closed well without power")
		}
		disk = loss.After()
	}
	delivered := map[string]int{}
	for _, r := range e.store.records() {
		delivered[r]++
		if delivered[r] == 2 {
			t.Errorf("%.16s was delivered twice", r)
		}
	}
	for r := range acknowledged {
		if delivered[r] == 0 {
			t.Errorf("%.16s was acknowledged and not delivered", r)
		}
	}
	if len(acknowledged) == 0 {
		t.Error("no record was acknowledged: the test shows nothing")
	}
}
