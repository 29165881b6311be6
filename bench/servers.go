package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-462d9463/sluice/bench/child"
)

// The keys that signed requests carry. They guard nothing: the server is started with them for the measurement,
// on the loopback interface, and removed afterwards.
const (
	accessKey = "SLUICEBENCHMARK00001"
	secretKey = "benchmark/secret/of/no/worth/0123456789A"
	region    = "us-east-1"
)

const (
	startLimit = time.Minute
	stopGrace  = time.Minute
	quietLimit = 10 * time.Second
)

// server is a process that takes requests: Sluice or the trivial handler.
type server struct {
	*child.Process
	endpoint
	admin string // address of the admin listener; empty for the trivial handler
	data  string // data directory; empty for the trivial handler
	idle  int64  // resident memory when it was ready and had served nothing
}

// startSluice runs the binary on an empty data directory below root, its limits off. With signed, it verifies
// every request's signature; else it takes any. SLUICE_… variables of the environment reach it, so that
// settings can be compared.
func startSluice(ctx context.Context, binary, root string, signed bool) (*server, error) {
	data, err := os.MkdirTemp(root, "sluice-bench-")
	if err != nil {
		return nil, err
	}
	s, err := serveData(ctx, binary, data, signed)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	err = s.Quiet(ctx, quietLimit)
	if err == nil {
		s.idle, err = s.Peak()
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// serveData runs the binary on a data directory, which it leaves there when it fails, until it is ready.
func serveData(ctx context.Context, binary, data string, signed bool) (*server, error) {
	listen, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	var credentials []string
	if signed {
		credentials = []string{"SLUICE_ACCESS_KEY_ID=" + accessKey, "SLUICE_SECRET_ACCESS_KEY=" + secretKey}
	}
	process, err := child.Start(binary,
		[]string{"serve", "--listen", listen, "--admin", admin, "--data", data, "--limits", "off"}, credentials)
	if err != nil {
		return nil, err
	}
	s := &server{Process: process, admin: admin, data: data,
		endpoint: endpoint{addr: listen, path: "/", signed: signed}}
	if err := s.await(ctx, func() error { return ready(ctx, "http://"+admin+"/readyz") }); err != nil {
		return nil, errors.Join(err, s.Stop(stopGrace))
	}
	return s, nil
}

// startTrivial runs this very program as the trivial handler.
func startTrivial(ctx context.Context) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	process, err := child.Start(self, []string{trivialRole, addr}, nil)
	if err != nil {
		return nil, err
	}
	// It is sent the same bytes as the other, signature and all, and ignores them.
	s := &server{Process: process, endpoint: endpoint{addr: addr, path: "/", signed: true}}
	err = s.await(ctx, func() error {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// remove ends the server and removes its data.
func (s *server) remove() error {
	err := s.Stop(stopGrace)
	if s.data != "" {
		err = errors.Join(err, os.RemoveAll(s.data))
	}
	return err
}

// await asks every few milliseconds until check has no objection.
func (s *server) await(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		objection := check()
		if objection == nil {
			return nil
		}
		select {
		case <-s.Exited():
			return s.Failure()
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", objection)
		case <-ticker.C:
		}
	}
}

func ready(ctx context.Context, url string) error {
	answer, err := get(ctx, url)
	if err != nil {
		return err
	}
	return answer.Close()
}

// get fetches a page of the admin listener.
func get(ctx context.Context, url string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s", url, answer.Status), answer.Body.Close())
	}
	return answer.Body, nil
}

// saveProfile takes a CPU profile of the server for the time given, and with it what it has allocated so far.
func (s *server) saveProfile(ctx context.Context, dir, name string, seconds int) error {
	for _, page := range []struct{ kind, query string }{
		{"cpu", fmt.Sprintf("profile?seconds=%d", seconds)},
		{"allocs", "allocs"},
	} {
		body, err := get(ctx, "http://"+s.admin+"/debug/pprof/"+page.query)
		if err != nil {
			return err
		}
		err = writeFile(filepath.Join(dir, name+"."+page.kind+".pprof"), body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, from io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// freeAddr finds a port of the loopback interface that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
