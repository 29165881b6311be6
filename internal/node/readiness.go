package node

import (
	"fmt"
	"net/http"
	"sync"
)

// readiness is what /readyz answers: whether requests are served, and if not, what the node is doing.
type readiness struct {
	mu    sync.Mutex
	ready bool
	doing string
}

func (r *readiness) set(ready bool, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.doing = ready, fmt.Sprintf(format, args...)
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	ready, doing := r.ready, r.doing
	r.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, doing)
}
