package catalog

import (
	"maps"
	"slices"
)

// state is the map that the log describes. It is not locked: Catalog.mu guards it.
type state struct {
	entries map[Key]Entry
	names   map[group][]string // sorted; no group is empty
	bytes   int                // what the entries take in a snapshot
}

func newState() *state {
	return &state{entries: map[Key]Entry{}, names: map[group][]string{}}
}

func (s *state) put(e Entry) {
	old, there := s.entries[e.Key]
	if there {
		s.bytes -= sizeOf(&old)
	} else {
		g := e.Key.group()
		names := s.names[g]
		i, _ := slices.BinarySearch(names, e.Key.Name)
		s.names[g] = slices.Insert(names, i, e.Key.Name)
	}
	s.entries[e.Key] = e
	s.bytes += sizeOf(&e)
}

func (s *state) delete(k Key) {
	old, there := s.entries[k]
	if !there {
		return
	}
	delete(s.entries, k)
	s.bytes -= sizeOf(&old)
	g := k.group()
	names := s.names[g]
	if len(names) == 1 {
		delete(s.names, g)
		return
	}
	i, _ := slices.BinarySearch(names, k.Name)
	s.names[g] = slices.Delete(names, i, i+1)
}

func (s *state) list(g group, after string, limit int) (entries []Entry, more bool) {
	names := s.names[g]
	i, found := slices.BinarySearch(names, after)
	if found {
		i++
	}
	names = names[i:]
	if limit > 0 && len(names) > limit {
		names, more = names[:limit], true
	}
	for _, name := range names {
		entries = append(entries, s.entries[Key{g.account, g.region, g.kind, name}])
	}
	return entries, more
}

// all returns the entries of a kind, or of all kinds if it is empty, in the order of kind, account, region
// and name.
func (s *state) all(kind string) []Entry {
	var out []Entry
	for _, g := range slices.SortedFunc(maps.Keys(s.names), group.compare) {
		if kind != "" && g.kind != kind {
			continue
		}
		entries, _ := s.list(g, "", 0)
		out = append(out, entries...)
	}
	return out
}
