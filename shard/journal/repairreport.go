package journal

import (
	"bufio"
	"fmt"
	"io"

	"github.com/seed-462d9463/sluice/shard"
)

// reportLines bounds how many lines of each kind a report has. The rest is counted.
const reportLines = 100

// Write says, for people, what a repair found and what it would do.
func (p *RepairPlan) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	if p.Sound() {
		fmt.Fprintf(out, "Nothing is damaged in %s.\n", p.Dir)
		return out.Flush()
	}
	fmt.Fprintln(out, "Damage:")
	each(out, p.Damage, func(d *shard.CorruptError) string { return d.Error() })
	if len(p.Lost) == 0 && p.LostBytes == 0 {
		fmt.Fprintln(out, "No record is lost.")
	} else {
		fmt.Fprintln(out, "Lost for good:")
		each(out, p.Lost, func(l Lost) string { return l.String() })
	}
	if p.LostBytes > 0 {
		fmt.Fprintf(out, "  In %d bytes of the journal nothing can be made out. Topics that were made there are gone, and what was\n"+
			"  deleted or trimmed there is back.\n", p.LostBytes)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(out, "Note: %s\n", note)
	}
	files := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintln(out, what)
			each(out, names, func(s string) string { return s })
		}
	}
	files("Segments to be replaced or removed:", p.Moved)
	files("Segments to be written:", p.Made)
	fmt.Fprintf(out, "The originals of all files that change are kept in %s.\n", p.Aside)
	return out.Flush()
}

func (l Lost) String() string {
	n := l.To - l.From
	what, where := fmt.Sprintf("%d records", n), fmt.Sprintf("offsets %d to %d", l.From, l.To-1)
	switch {
	case l.AtMost:
		what = fmt.Sprintf("at most %d records, maybe none", n)
	case n == 1:
		what, where = "1 record", fmt.Sprintf("offset %d", l.From)
	}
	return fmt.Sprintf("%s of topic %q, partition %d: %s", what, l.Topic, l.Partition, where)
}

// each prints a line for each element, but not without end.
func each[T any](w io.Writer, all []T, line func(T) string) {
	for i, x := range all {
		if i == reportLines {
			fmt.Fprintf(w, "  and %d more\n", len(all)-i)
			return
		}
		fmt.Fprintf(w, "  %s\n", line(x))
	}
}
