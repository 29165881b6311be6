package node

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/lane"
	"github.com/seed-462d9463/sluice/internal/api/sigv4"
)

// credentials are the key pairs as the edge takes them.
func (n *Node) credentials() []sigv4.Credential {
	pairs := make([]sigv4.Credential, len(n.config.Credentials))
	for i, c := range n.config.Credentials {
		pairs[i] = sigv4.Credential{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, Account: c.Account}
	}
	return pairs
}

// openTLS gets the certificate. One of the node's own making is kept in the data directory, which is this process's
// alone by now.
func (p *parts) openTLS(_ context.Context, n *Node) error {
	if !n.config.TLS.Enabled() {
		return nil
	}
	host, _, err := net.SplitHostPort(n.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if p.tls, err = n.config.TLS.Open(filepath.Join(n.config.Data, "tls"), host, n.logger); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// listener is where the services' requests come in.
func (n *Node) listener() net.Listener {
	if n.parts.tls == nil {
		return n.services
	}
	return edge.Secure(n.services, n.parts.tls, n.config.TLS.AllowPlain, n.logger)
}

// server is the one that answers the services' requests.
func (n *Node) server() *lane.Server {
	server := edge.NewServer(n.parts.handler)
	server.ErrorLog = n.serverLog()
	return lane.New(server, edge.Prompt)
}

// serverLog is for what net/http has to say about connections; that is seldom more than a client's mistake.
func (n *Node) serverLog() *log.Logger {
	return slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug)
}
