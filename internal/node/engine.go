package node

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/kafka"
)

// openEngine opens the log: on this machine's disks or in Kafka. Either way this process has the data directory for
// itself: buckets may be in it, and whoever opens them removes what looks left over.
func (p *parts) openEngine(ctx context.Context, n *Node) error {
	if err := makeDataDir(n.config.Data); err != nil {
		return err
	}
	if err := checkDataDir(n.fs, n.config.Data, n.config.Log.Engine == engineKafka); err != nil {
		return err
	}
	if n.config.Log.Engine == engineKafka {
		return p.openKafka(ctx, n)
	}
	return p.openJournal(n)
}

func (p *parts) openJournal(n *Node) error {
	engine, err := journal.Open(journal.Options{
		FS: n.fs, Dir: n.config.Data, Config: n.config.Log.Embedded,
		Logger: n.logger, Registerer: n.registry,
		Progress: func(at journal.Progress) {
			n.ready.set(false, "recovering: %s, %d of %d %s", at.Phase, at.Done, at.Total, at.Unit)
		},
	})
	if err != nil {
		return dataDirError(err)
	}
	p.use(engine)
	return nil
}

func (p *parts) openKafka(ctx context.Context, n *Node) error {
	dir := n.config.Data
	lock, err := n.fs.Lock(filepath.Join(dir, journal.LockName)) // the same as the embedded engine takes
	if err != nil {
		return dataDirError(fmt.Errorf("data directory %s: %w", dir, err))
	}
	p.add("the data directory", lock.Close)
	if _, err := n.fs.Stat(filepath.Join(dir, "FORMAT")); err == nil {
		n.logger.Warn("the data directory has a log of the embedded engine, whose streams are not served, because "+
			"log.engine is kafka", "data", absolute(dir))
	}
	config := n.config.Log.Kafka
	n.ready.set(false, "connecting to Kafka at %s", strings.Join(config.Brokers, ", "))
	engine, err := kafka.Open(ctx, kafka.Options{Config: config, Logger: n.logger, Registerer: n.registry})
	if err != nil {
		return err
	}
	p.use(engine)
	return nil
}

// use takes an open log. When it has failed, whoever runs the node knows why already, and closing it says no more.
func (p *parts) use(engine shard.Engine) {
	p.engine = engine
	p.add("the log", func() error {
		failed := engine.Err() != nil
		if err := engine.Close(); !failed {
			return err
		}
		return nil
	})
}
