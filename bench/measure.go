package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/bench/child"
	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// measurement is what one run of one contestant gave. Times are in seconds and microseconds, memory and payload
// in bytes, so that the JSON report reads without a table of units.
type measurement struct {
	Seconds     float64 `json:"seconds"`
	Requests    float64 `json:"requests"`
	Records     float64 `json:"records"`
	Bytes       float64 `json:"payload_bytes"`
	RequestRate float64 `json:"requests_per_second"`
	RecordRate  float64 `json:"records_per_second"`
	ByteRate    float64 `json:"payload_bytes_per_second"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	P999        float64 `json:"p999_us"`
	CPU         float64 `json:"cpu_seconds"` // of the contestant, until it was quiet again
	PerCPU      float64 `json:"payload_bytes_per_cpu_second"`
	PeakRSS     float64 `json:"peak_rss_bytes"`
	Files       float64 `json:"open_files,omitempty"`
	ReadRate    float64 `json:"bytes_read_per_second,omitempty"` // by readers beside the writers that are measured
	Generator   float64 `json:"generator_cores"`                 // cores that the load generator used
	Others      float64 `json:"others_cores"`                    // cores that neither of them used
}

// measure runs f and reads what the process used meanwhile and until it was quiet again. Without a process the
// work is done by f itself, in this one.
func (s *stage) measure(ctx context.Context, target *server, f func() (loadgen.Result, error)) (measurement, error) {
	cpu := child.OwnCPU
	if target != nil {
		cpu = target.CPU
		if err := target.Quiet(ctx, quietLimit); err != nil {
			return measurement{}, err
		}
		if err := target.ResetPeak(); err != nil {
			return measurement{}, err
		}
	}
	profiled := s.startProfile(ctx, target)
	before, err := readClocks(cpu)
	if err != nil {
		return measurement{}, err
	}
	result, err := f()
	after, clockErr := readClocks(cpu)
	if err := errors.Join(err, clockErr, <-profiled); err != nil {
		return measurement{}, err
	}
	m := newMeasurement(result)
	spent := after.contestant - before.contestant
	others := after.machine - before.machine - spent
	if target != nil {
		own := after.own - before.own
		m.Generator = own.Seconds() / m.Seconds
		others -= own
		if err := target.Quiet(ctx, quietLimit); err != nil {
			return measurement{}, err
		}
		late, err := target.CPU()
		if err != nil {
			return measurement{}, err
		}
		spent = late - before.contestant
		peak, err := target.Peak()
		if err != nil {
			return measurement{}, err
		}
		m.PeakRSS = float64(peak)
	}
	m.CPU = spent.Seconds()
	m.PerCPU = m.Bytes / max(m.CPU, 0.001)
	m.Others = max(others.Seconds()/m.Seconds, 0)
	return m, nil
}

func newMeasurement(r loadgen.Result) measurement {
	m := measurement{
		Seconds:  r.Elapsed.Seconds(),
		Requests: float64(r.Requests),
		Records:  float64(r.Worth.Records),
		Bytes:    float64(r.Worth.Bytes),
	}
	m.RequestRate, m.RecordRate, m.ByteRate = m.Requests/m.Seconds, m.Records/m.Seconds, m.Bytes/m.Seconds
	if r.Latency != nil {
		m.P50 = microseconds(r.Latency.Quantile(0.5))
		m.P99 = microseconds(r.Latency.Quantile(0.99))
		m.P999 = microseconds(r.Latency.Quantile(0.999))
	}
	return m
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// clocks are processor times at one moment.
type clocks struct{ contestant, own, machine time.Duration }

func readClocks(contestant func() (time.Duration, error)) (c clocks, err error) {
	if c.contestant, err = contestant(); err != nil {
		return c, err
	}
	if c.own, err = child.OwnCPU(); err != nil {
		return c, err
	}
	c.machine, err = child.MachineCPU()
	return c, err
}

// startProfile begins to profile the target if this is a profiling round. The channel tells when the profile
// is written.
func (s *stage) startProfile(ctx context.Context, target *server) <-chan error {
	done := make(chan error, 1)
	if s.profiling == "" || target == nil || target.admin == "" {
		done <- nil
		return done
	}
	seconds := max(int(math.Ceil(s.duration.Seconds())), 1)
	go func() { done <- target.saveProfile(ctx, s.profileDir, s.profiling, seconds) }()
	return done
}

// median of no values is zero.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
