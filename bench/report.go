package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// report is all that a run of bench has found.
type report struct {
	Machine  machine   `json:"machine"`
	Started  time.Time `json:"started"`
	Options  string    `json:"options"`
	Outcomes []outcome `json:"scenarios"`
}

func (r report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// shown is a share for people.
func shown(share float64) string {
	if share == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", share)
}

// columns of the table of one scenario. All are medians over the rounds.
var columns = []struct {
	title string
	cell  func(c contest) string
}{
	{"", func(c contest) string { return c.Name }},
	{"requests/s", func(c contest) string { return number(c.Median.RequestRate) }},
	{"records/s", func(c contest) string { return number(c.Median.RecordRate) }},
	{"MB/s", func(c contest) string { return number(c.Median.ByteRate / 1e6) }},
	{"p50 ms", func(c contest) string { return milliseconds(c.Median.P50) }},
	{"p99 ms", func(c contest) string { return milliseconds(c.Median.P99) }},
	{"p99.9 ms", func(c contest) string { return milliseconds(c.Median.P999) }},
	{"cores", func(c contest) string { return fmt.Sprintf("%.2f", c.Median.CPU/c.Median.Seconds) }},
	{"CPU µs/request", func(c contest) string { return number(c.Median.CPU / c.Median.Requests * 1e6) }},
	{"MB per CPU s", func(c contest) string { return number(c.Median.PerCPU / 1e6) }},
	{"peak MiB", func(c contest) string { return mebibytes(c.Median.PeakRSS) }},
	{"rate to baseline", func(c contest) string { return shown(c.RateRatio) }},
	{"MB per CPU s to baseline", func(c contest) string { return shown(c.CPURatio) }},
	{"generator's cores", func(c contest) string { return fmt.Sprintf("%.2f", c.Median.Generator) }},
	{"others' cores", func(c contest) string { return fmt.Sprintf("%.2f", c.Median.Others) }},
}

func (r report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s; %s\n", r.Machine, r.Started.Format("2006-01-02 15:04 UTC"), r.Options)
	for _, o := range r.Outcomes {
		fmt.Fprintf(&b, "\n### %s\n\n", o.Title)
		titles, rule := "|", "|"
		for i, column := range columns {
			titles += " " + column.title + " |"
			if rule += "---:|"; i == 0 {
				rule = "|---|"
			}
		}
		b.WriteString(titles + "\n" + rule + "\n")
		for _, c := range o.Contests {
			b.WriteString("|")
			for _, column := range columns {
				b.WriteString(" " + column.cell(c) + " |")
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
		for _, c := range o.Contests {
			if c.IdleRSS > 0 {
				fmt.Fprintf(&b, "%s, ready and idle: %s MiB.\n", c.Name, mebibytes(c.IdleRSS))
			}
			if c.Median.ReadRate > 0 {
				fmt.Fprintf(&b, "%s: read %s MB/s.\n", c.Name, number(c.Median.ReadRate/1e6))
			}
			if c.Median.Files > 0 {
				fmt.Fprintf(&b, "%s: %s s, %s s of CPU, %.0f open files.\n",
					c.Name, number(c.Median.Seconds), number(c.Median.CPU), c.Median.Files)
			}
		}
		for _, v := range o.Budgets {
			met := "met"
			if !v.Met {
				met = "**missed**"
			}
			bound := "≥ " + number(v.Least)
			if v.Most > 0 {
				bound = "≤ " + number(v.Most)
			}
			fmt.Fprintf(&b, "Budget: %s %s; got %s: %s.\n", v.What, bound, number(v.Got), met)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number keeps three significant digits or so, which is more than the noise allows.
func number(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

func milliseconds(us float64) string {
	if us == 0 {
		return "–"
	}
	return number(us / 1e3)
}

func mebibytes(n float64) string {
	if n == 0 {
		return "–"
	}
	return number(n / (1 << 20))
}
