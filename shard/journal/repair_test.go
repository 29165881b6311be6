package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func repairOptions(fs vfs.FS) RepairOptions {
	own := func(name, like string) error {
		_, err := fs.Stat(name)
		_, likeErr := fs.Stat(like)
		return errors.Join(err, likeErr)
	}
	return RepairOptions{FS: fs, Dir: "/data", Now: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Own: own}
}

func agree(*RepairPlan) (bool, error) { return true, nil }

// checkRepaired repairs what was harmed, and wants all records that are not where the harm was done.
func (s *small) checkRepaired(t testing.TB, h harm) error {
	mem := s.mem.CrashClone(0)
	h.do(t, mem)
	return s.repairAndCheck(h, mem, nil)
}

// repairAndCheck goes on after what an earlier repair told, if there was one.
func (s *small) repairAndCheck(h harm, mem *vfs.Mem, told *RepairPlan) error {
	plan, err := Repair(repairOptions(mem), agree)
	if err != nil {
		return err
	}
	if told != nil {
		plan.Lost = append(plan.Lost, told.Lost...)
		plan.LostBytes += told.LostBytes
	}
	after := mem.CrashClone(0) // a repair is durable
	if plan.Sound() {
		after = mem
	}
	for again := range 2 {
		e, err := Open(harmOptions(after))
		if err != nil {
			return fmt.Errorf("open after the repair (%d): %w", again, err)
		}
		err = s.checkKept(e, h, plan)
		if err == nil && again == 0 {
			err = s.checkGoesOn(e)
		}
		if err = errors.Join(err, e.Close()); err != nil {
			return fmt.Errorf("%w, of the plan %+v", err, *plan)
		}
	}
	if plan, err = Repair(repairOptions(after), agree); err != nil || !plan.Sound() {
		return fmt.Errorf("repair after the repair: %w, damage %v", err, plan.Damage)
	}
	return nil
}

// checkKept wants every record but those that the plan calls lost.
func (s *small) checkKept(e *Engine, h harm, plan *RepairPlan) error {
	lost := map[string]bool{}
	for _, l := range plan.Lost {
		for at := l.From; at < l.To && !l.AtMost; at++ {
			lost[fmt.Sprint(l.Topic, at)] = true
		}
	}
	have, gone := map[string]map[shard.Offset]bool{}, map[string]bool{}
	for topic := range s.want {
		got, err := s.readTopic(e, topic)
		if err != nil && !errors.Is(err, shard.ErrNotFound) {
			return err
		}
		gone[topic] = err != nil && plan.LostBytes > 0
		have[topic] = map[shard.Offset]bool{}
		for _, r := range got {
			have[topic][r.Offset] = true
		}
	}
	at := map[string]shard.Offset{}
	missing := 0
	for _, topic := range s.order {
		offset := at[topic]
		at[topic]++
		if s.want[topic] == nil || offset < s.first[topic] || have[topic][offset] {
			continue
		}
		missing++
		if !plan.loses(topic, offset) && !gone[topic] {
			return fmt.Errorf("%s offset %d is neither there nor told as lost", topic, offset)
		}
	}
	// One byte is in one record. Those of a topic whose name is lost have another one.
	topics, err := e.Topics(context.Background())
	if err != nil {
		return err
	}
	recovered := 0
	for _, t := range topics {
		if l, err := e.Open(context.Background(), t.Name, 0); err == nil && strings.HasPrefix(t.Name, "recovered-") {
			got, err := readEverything(context.Background(), l)
			if err != nil {
				return err
			}
			recovered += len(got)
		}
	}
	if strings.HasSuffix(h.what, "flipped") && !strings.HasSuffix(h.file, compressedSuffix) && missing-recovered > 1 {
		return fmt.Errorf("%d records are gone, %d recovered", missing, recovered)
	}
	if missing < len(lost) {
		return fmt.Errorf("%d records are told as lost, but only %d are missing", len(lost), missing)
	}
	return nil
}

func (p *RepairPlan) loses(topic string, at shard.Offset) bool {
	for _, l := range p.Lost {
		if l.Topic == topic && l.From <= at && at < l.To {
			return true
		}
	}
	return false
}

// checkGoesOn appends to a repaired log: no offset is given twice.
func (s *small) checkGoesOn(e *Engine) error {
	topics, err := e.Topics(context.Background())
	if err != nil {
		return err
	}
	for _, topic := range topics {
		l, err := e.Open(context.Background(), topic.Name, 0)
		if err != nil {
			return err
		}
		_, next := l.Bounds()
		ctx, cancel := context.WithTimeout(context.Background(), 0)
		err = l.Wait(ctx, next-1)
		cancel()
		if got, readErr := l.Read(context.Background(), next-1, shard.Limit{}); readErr != nil || (len(got) > 0) != (err == nil) {
			return fmt.Errorf("%s: waiting for offset %d gives %v, reading from there %d records and %v", topic.Name, next-1, err, len(got), readErr)
		}
	}
	return nil
}

func TestRepairKeepsAllThatIsNotDamaged(t *testing.T) {
	for name, closed := range map[string]bool{"AfterAClose": true, "AfterACrash": false} {
		t.Run(name, func(t *testing.T) {
			s := buildSmall(t, closed)
			s.parallel(t, 1009, func(h harm) error {
				return s.checkRepaired(t, h)
			})
		})
	}
}

// samples returns damage of every kind of file, to do more with than with all of it.
func (s *small) samples(t *testing.T) []harm {
	var some []harm
	seen := map[string]int{}
	s.harms(t, 997, func(h harm) {
		kind := h.what[strings.LastIndexByte(h.what, ' '):]
		if seen[h.file+kind]++; seen[h.file+kind] == 1 {
			some = append(some, h)
		}
	})
	return some
}

func TestARepairThatIsCutOffCanBeRepeated(t *testing.T) {
	s := buildSmall(t, false)
	every := int64(67)
	if *damageAll {
		every = 1
	}
	start := int64(0)
	for _, h := range s.samples(t) {
		start++
		for call := 1 + start%every; ; call += every {
			left := s.mem.CrashClone(0)
			h.do(t, left)
			disk := vfs.Inject(left)
			crash, hook := vfs.CrashAt(left, call, uint64(call))
			disk.Hook(hook)
			told, err := Repair(repairOptions(disk), agree)
			after := crash.After()
			if after == nil {
				if err != nil {
					t.Fatalf("%s: %v", h.what, err)
				}
				break
			}
			if err := s.repairAndCheck(h, after, told); err != nil {
				t.Fatalf("%s, power loss before call %d: %v", h.what, call, err)
			}
		}
	}
}
