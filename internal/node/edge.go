package node

import (
	"log"
	"log/slog"
	"net/http"

	"github.com/seed-462d9463/sluice/internal/api/edge"
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

// server is the one that answers the services' requests.
func (n *Node) server() *http.Server {
	server := edge.NewServer(n.parts.handler)
	server.ErrorLog = n.serverLog()
	return server
}

// serverLog is for what net/http has to say about connections; that is seldom more than a client's mistake.
func (n *Node) serverLog() *log.Logger {
	return slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug)
}
