package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/seed-462d9463/sluice/bench/worker"
)

// scenario is one thing that is measured, by several contestants in turn.
type scenario struct {
	name   string // for the command line
	usual  bool   // measured when the command line names none
	serves bool   // needs the server's binary
	title  string
	rate   func(measurement) float64 // what is compared with the baseline
	unit   string                    // of rate
	// prepare starts what the scenario needs and returns the contestants, the baseline first.
	prepare func(ctx context.Context, s *stage) ([]contestant, error)
	budgets []budget
}

// contestant is who is measured.
type contestant struct {
	name   string
	target *server // nil: the work is done in this process, or in a worker
	works  bool    // a worker does it, which can be profiled
	round  func(ctx context.Context, n int) (measurement, error)
}

// budget is a promise of the design.
type budget struct {
	contestant string
	what       string
	least      float64 // 0: none
	most       float64 // 0: none
	value      func(contest) float64
}

const (
	trivialName  = "trivial handler"
	encoderName  = "bare encoder, as delivery uses it"
	signedName   = "sluice, signed"
	unsignedName = "sluice, unsigned"
)

// stage is what the contestants of one scenario stand on.
type stage struct {
	options
	servers   []*server
	cleanup   []func() error
	memory    *worker.PageCache // filled before each run of a worker; nil: left as it is
	serial    int               // for names that were not used before
	profiling string            // in a profiling round, the name of the profile; else empty
}

// fresh starts a Sluice server that is stopped when the scenario ends.
func (s *stage) fresh(ctx context.Context, signed bool) (*server, error) {
	target, err := startSluice(ctx, s.binary, s.dataDir, signed)
	if err != nil {
		return nil, fmt.Errorf("starting sluice: %w", err)
	}
	s.servers = append(s.servers, target)
	return target, nil
}

// sluice starts one, and lets it settle.
func (s *stage) sluice(ctx context.Context, signed bool) (*server, error) {
	target, err := s.fresh(ctx, signed)
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx, target); err != nil {
		return nil, fmt.Errorf("settling sluice: %w", err)
	}
	return target, nil
}

// trivial starts the trivial handler, likewise.
func (s *stage) trivial(ctx context.Context) (*server, error) {
	target, err := startTrivial(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting the trivial handler: %w", err)
	}
	s.servers = append(s.servers, target)
	return target, nil
}

// variants starts Sluice with and without credentials, as asked for on the command line.
func (s *stage) variants(ctx context.Context, add func(name string, target *server) error) error {
	for _, signed := range []bool{true, false} {
		name := signedName
		if !signed {
			name = unsignedName
		}
		if (signed && s.signatures == "off") || (!signed && s.signatures == "on") {
			continue
		}
		target, err := s.sluice(ctx, signed)
		if err != nil {
			return err
		}
		if err := add(name, target); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// name gives a name that nothing on this stage has had.
func (s *stage) name(kind string) string {
	s.serial++
	return fmt.Sprintf("%s-%04d", kind, s.serial)
}

func (s *stage) close() error {
	var err error
	for _, target := range s.servers {
		err = errors.Join(err, target.remove())
	}
	for _, clean := range s.cleanup {
		err = errors.Join(err, clean())
	}
	s.servers, s.cleanup = nil, nil
	return err
}

// contest is all that was measured of one contestant in one scenario.
type contest struct {
	Name   string        `json:"name"`
	Runs   []measurement `json:"runs"`
	Median measurement   `json:"median"`
	// Rate and CPU beside the baseline's in the same round: the median of the rounds' ratios.
	RateRatio float64 `json:"rate_to_baseline"`
	CPURatio  float64 `json:"bytes_per_cpu_second_to_baseline"`
	IdleRSS   float64 `json:"idle_rss_bytes,omitempty"`
}

// outcome is a scenario's part of the report.
type outcome struct {
	Scenario string    `json:"scenario"`
	Title    string    `json:"title"`
	Contests []contest `json:"contestants"`
	Budgets  []verdict `json:"budgets"`
}

// verdict is a budget held against what was measured.
type verdict struct {
	What  string  `json:"what"`
	Least float64 `json:"at_least,omitempty"`
	Most  float64 `json:"at_most,omitempty"`
	Got   float64 `json:"got"`
	Met   bool    `json:"met"`
}

// play runs a scenario: in every round each contestant once, so that what else goes on in the machine meets all
// of them alike. Who begins changes from round to round.
func (s *stage) play(ctx context.Context, sc scenario) (_ outcome, err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	contestants, err := sc.prepare(ctx, s)
	if err != nil {
		return outcome{}, err
	}
	runs := make([][]measurement, len(contestants))
	for n := range s.runs {
		for turn := range contestants {
			i := (turn + n) % len(contestants)
			m, err := s.undisturbed(ctx, contestants[i], n)
			if err != nil {
				return outcome{}, fmt.Errorf("%s: %w", contestants[i].name, err)
			}
			runs[i] = append(runs[i], m)
			slog.Info("measured", "scenario", sc.name, "round", n+1, "of", s.runs,
				"contestant", contestants[i].name, "rate", number(sc.rate(m))+" "+sc.unit,
				"others_cores", fmt.Sprintf("%.2f", m.Others))
		}
	}
	if err := s.profile(ctx, sc, contestants); err != nil {
		return outcome{}, err
	}
	return s.judge(sc, contestants, runs), nil
}

// maxRepeats is how often a run that others disturbed is repeated before the least disturbed one is taken.
const maxRepeats = 20

// undisturbed runs a contestant's round, and again while others use too much of the machine meanwhile.
func (s *stage) undisturbed(ctx context.Context, c contestant, n int) (best measurement, err error) {
	for repeat := range maxRepeats + 1 {
		m, err := c.round(ctx, n)
		if err != nil {
			return measurement{}, err
		}
		if repeat == 0 || m.Others < best.Others {
			best = m
		}
		if s.maxOthers == 0 || m.Others <= s.maxOthers {
			break
		}
		slog.Info("disturbed", "contestant", c.name, "others_cores", fmt.Sprintf("%.2f", m.Others))
	}
	return best, nil
}

// profile runs one more round, which does not count, with the servers' profilers on.
func (s *stage) profile(ctx context.Context, sc scenario, contestants []contestant) error {
	if s.profileDir == "" {
		return nil
	}
	defer func() { s.profiling = "" }()
	for _, c := range contestants {
		if !c.works && (c.target == nil || c.target.admin == "") {
			continue
		}
		s.profiling = sc.name + "." + fileName(c.name)
		slog.Info("profiling", "scenario", sc.name, "contestant", c.name)
		if _, err := c.round(ctx, s.runs); err != nil {
			return fmt.Errorf("profiling %s: %w", c.name, err)
		}
	}
	return nil
}

func (s *stage) judge(sc scenario, contestants []contestant, runs [][]measurement) outcome {
	result := outcome{Scenario: sc.name, Title: sc.title}
	for i, c := range contestants {
		one := contest{Name: c.name, Runs: runs[i], Median: medians(runs[i])}
		if c.target != nil {
			one.IdleRSS = float64(c.target.idle)
		}
		var rates, costs []float64
		for n, m := range runs[i] {
			base := runs[0][n]
			rates = append(rates, share(sc.rate(m), sc.rate(base)))
			costs = append(costs, share(m.PerCPU, base.PerCPU))
		}
		one.RateRatio, one.CPURatio = median(rates), median(costs)
		result.Contests = append(result.Contests, one)
	}
	for _, b := range sc.budgets {
		for _, c := range result.Contests {
			if c.Name == b.contestant {
				got := b.value(c)
				result.Budgets = append(result.Budgets,
					verdict{What: b.what, Least: b.least, Most: b.most, Got: got, Met: got >= b.least && (b.most == 0 || got <= b.most)})
			}
		}
	}
	return result
}

// share is 0 where there is nothing to compare with, as the bytes of scenarios that move none: JSON has no NaN.
func share(of, base float64) float64 {
	if base == 0 {
		return 0
	}
	return of / base
}

// fileName makes a contestant's name fit for a file.
func fileName(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, ",", ""), " ", "-")
}

func medians(runs []measurement) measurement {
	of := func(field func(measurement) float64) float64 {
		values := make([]float64, len(runs))
		for i, m := range runs {
			values[i] = field(m)
		}
		return median(values)
	}
	return measurement{
		Seconds:     of(func(m measurement) float64 { return m.Seconds }),
		Requests:    of(func(m measurement) float64 { return m.Requests }),
		Records:     of(func(m measurement) float64 { return m.Records }),
		Bytes:       of(func(m measurement) float64 { return m.Bytes }),
		RequestRate: of(func(m measurement) float64 { return m.RequestRate }),
		RecordRate:  of(func(m measurement) float64 { return m.RecordRate }),
		ByteRate:    of(func(m measurement) float64 { return m.ByteRate }),
		P50:         of(func(m measurement) float64 { return m.P50 }),
		P99:         of(func(m measurement) float64 { return m.P99 }),
		P999:        of(func(m measurement) float64 { return m.P999 }),
		CPU:         of(func(m measurement) float64 { return m.CPU }),
		PerCPU:      of(func(m measurement) float64 { return m.PerCPU }),
		PeakRSS:     of(func(m measurement) float64 { return m.PeakRSS }),
		Generator:   of(func(m measurement) float64 { return m.Generator }),
		ReadRate:    of(func(m measurement) float64 { return m.ReadRate }),
		Files:       of(func(m measurement) float64 { return m.Files }),
		Others:      of(func(m measurement) float64 { return m.Others }),
	}
}
