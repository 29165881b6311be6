package certificate

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// checkInterval is how often the files are looked at, at most.
const checkInterval = time.Second

// Files is a certificate in two files. It is read again when one of them changes, by the first handshake that comes
// a second or more after the last look. Files that are not a certificate and its key change nothing but the log: the
// certificate before them stays.
type Files struct {
	certFile, keyFile string
	expired           func() error // replaces the files of a certificate that has expired; nil: nobody does
	logger            *slog.Logger

	current atomic.Pointer[tls.Certificate] // never nil after open

	mu     sync.Mutex     // guards what follows; who finds it locked goes on with what is current
	looked time.Time      // when
	seen   [2]os.FileInfo // what was read last, or could not be; nil for a file that was not there
}

// open reads the files for the first time.
func (f *Files) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked, f.seen = time.Now(), f.look()
	certificate, err := load(f.certFile, f.keyFile)
	if err != nil {
		return err
	}
	f.use(certificate)
	return nil
}

func (f *Files) use(certificate *tls.Certificate) {
	f.current.Store(certificate)
	leaf := certificate.Leaf
	attributes := []any{slog.String("file", f.certFile), slog.Time("not_after", leaf.NotAfter), slog.String("sha256", Fingerprint(leaf.Raw))}
	if !time.Now().Before(leaf.NotAfter) {
		f.logger.Error("the certificate has expired; clients will refuse it", attributes...)
		return
	}
	f.logger.Info("certificate in use", attributes...)
}

// Certificate is for tls.Config.GetCertificate.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if f.mu.TryLock() {
		if now := time.Now(); now.Sub(f.looked) >= checkInterval {
			f.looked = now
			f.refresh(now)
		}
		f.mu.Unlock()
	}
	return f.current.Load(), nil
}

// refresh reads the files if they are not those that were read last.
func (f *Files) refresh(now time.Time) {
	if f.expired != nil && !now.Before(f.current.Load().Leaf.NotAfter) {
		if err := f.expired(); err != nil {
			f.logger.Error("cannot replace the certificate, which has expired", "error", err)
		}
	}
	seen := f.look() // before they are read: what changes meanwhile is found by the next look
	if same(seen[0], f.seen[0]) && same(seen[1], f.seen[1]) {
		return
	}
	f.seen = seen
	certificate, err := load(f.certFile, f.keyFile)
	if err != nil {
		f.logger.Error("the certificate has changed and cannot be used; the one before it stays in use", "error", err)
		return
	}
	f.use(certificate)
}

func (f *Files) look() (infos [2]os.FileInfo) {
	for i, file := range []string{f.certFile, f.keyFile} {
		if info, err := os.Stat(file); err == nil {
			infos[i] = info
		} else if !errors.Is(err, os.ErrNotExist) {
			f.logger.Error("cannot look at the certificate", "error", err)
		}
	}
	return infos
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Fingerprint is how certificates are compared by eye: the SHA-256 of their bytes.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
