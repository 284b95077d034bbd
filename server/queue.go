package server

import (
	"fmt"

	"github.com/amends-dev/amends/internal/heap"
)

// Storage says where the embedded NATS server keeps commands and answers.
type Storage string

// The values of Storage.
const (
	// StorageFile keeps them in files below Config.DataDir.
	StorageFile Storage = "file"
	// StorageMemory keeps them in memory. The server loses them when it stops, and at the next start
	// all pending commands are sent again. See docs/OPERATING.md#commands-and-answers-in-memory.
	StorageMemory Storage = "memory"
)

// ConsumersFile is the name of the file in the data directory that lists the consumers of commands
// while these are in memory.
const ConsumersFile = "consumers.json"

const (
	// queueBytes is the default limit of the stream of commands, and of the stream of answers.
	queueBytes = 512 << 20
	// leastQueueBytes is the smallest limit of a stream in memory: a dozen of the largest messages.
	leastQueueBytes = 8 << 20
	// memoryShare is the part of the memory limit, as a divisor, that both streams may use together.
	memoryShare = 4
)

// inMemory reports whether commands and answers are kept in memory.
func (n *NATS) inMemory() bool { return n.Storage == StorageMemory }

// validateStorage returns the errors in Storage.
func (n *NATS) validateStorage() error {
	switch {
	case n.Storage != "" && n.Storage != StorageFile && n.Storage != StorageMemory:
		return fmt.Errorf("bus storage: %q is unknown; give file or memory", n.Storage)
	case n.inMemory() && n.URL != "":
		return fmt.Errorf("bus storage: memory is only possible with the embedded NATS server, which stops together with the coordinator that sends everything again; " +
			"an external server would lose its streams in a restart that the coordinator does not notice at once, and a cluster in a rolling restart; remove this setting, or the url of the external server")
	}
	return nil
}

// memoryBytes returns the limit, in bytes, of each of the two streams that are kept in memory: what
// is configured, or the default, but together at most a quarter of the memory limit.
func (n *NATS) memoryBytes(limit int64) (int64, error) {
	most := limit / memoryShare / 2
	switch {
	case most < leastQueueBytes:
		return 0, fmt.Errorf("bus storage: memory needs a memory limit of at least %d MiB, and this process has %d MiB; raise the limit of the container or GOMEMLIMIT, or use bus storage file",
			leastQueueBytes*2*memoryShare>>20, limit>>20)
	case n.QueueBytes > most:
		return 0, fmt.Errorf("bus storage: queue bytes is %d, but the streams of commands and of answers may together use a quarter of the memory limit of %d MiB; give at most %d, or 0 for the default, or raise the limit of the container or GOMEMLIMIT",
			n.QueueBytes, limit>>20, most)
	case n.QueueBytes > 0:
		return n.QueueBytes, nil
	}
	return min(queueBytes, most), nil
}

// queues returns the limit of the streams that are kept in memory, or 0 if they are kept in files.
func (n *NATS) queues() (int64, error) {
	if !n.inMemory() || n.URL != "" {
		return 0, nil
	}
	limit, err := heap.Limit()
	if err != nil {
		return 0, fmt.Errorf("bus storage: memory needs the memory limit, which is unknown (%w); set GOMEMLIMIT, or use bus storage file", err)
	}
	return n.memoryBytes(limit)
}
