package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
)

// HandWritten measures the saga that users would otherwise write themselves, on Watermill's router
// over JetStream. For each message, one bbolt transaction stores the saga's state, the ids of
// processed messages and the outgoing messages, which are sent after the commit. The saga takes its
// next step from a table and has no timeouts, retries, history or operators. Its handlers run
// concurrently, and its Watermill adapter is natswatermill. HandWritten keeps at most
// handWrittenMost sagas in flight, because more would only make it slower.
func HandWritten(ctx context.Context, o Options) (y Baseline, err error) {
	o.InFlight = min(o.InFlight, handWrittenMost)
	server, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(o.Dir, "handwritten"), Port: -1})
	if err != nil {
		return y, err
	}
	defer server.Shutdown()
	db, err := bolt.Open(filepath.Join(o.Dir, "handwritten.db"), 0o600, nil)
	if err != nil {
		return y, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	h := &handWritten{hub: newHub(o.Mix), connections: connections{server: server, inside: o.InProcess}, db: db}
	defer h.close()
	router, err := h.open(o.InFlight)
	if err != nil {
		return y, fmt.Errorf("hand-written saga: %w", err)
	}
	defer func() { err = errors.Join(err, router.Close()) }()
	go func() { _ = router.Run(ctx) }() // Close reports errors
	<-router.Running()
	callers, err := h.connect()
	if err != nil {
		return y, err
	}
	run := caller(callers, "hand", o.Callers)
	return pace(ctx, o, "hand-written saga", func(ctx context.Context) error { return run(ctx, uuid.NewString()) })
}

const handWrittenMost = 512

type handWritten struct {
	*hub
	connections
	db  *bolt.DB
	out message.Publisher // publisher of the hub
}

var (
	handStates  = []byte("states")
	handSeen    = []byte("seen")
	handPending = []byte("owed")
)

// handState is the stored state of a saga.
type handState struct {
	Next  int             `json:"next"` // the leg in progress
	Input json.RawMessage `json:"input"`
}

// open creates the buckets, the services and the hub, all as handlers of one router.
func (h *handWritten) open(inFlight int) (*message.Router, error) {
	err := h.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{handStates, handSeen, handPending} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	for k := range yardServices {
		name := "service-" + strconv.Itoa(k)
		in, out, err := h.ends(name, inFlight)
		if err != nil {
			return nil, err
		}
		router.AddHandler(name, "hand.command."+name, in, "hand.event", out, h.serviceHandler)
	}
	in, out, err := h.ends("hub", inFlight)
	if err != nil {
		return nil, err
	}
	h.out = out
	router.AddConsumerHandler("hub", "hand.event", in, h.answered)
	nc, err := h.connect()
	if err != nil {
		return nil, err
	}
	h.start = h.begin
	return router, h.serve(nc, "hand")
}

// ends returns a subscriber and a publisher on a new connection.
func (h *handWritten) ends(group string, inFlight int) (message.Subscriber, message.Publisher, error) {
	nc, err := h.connect()
	if err != nil {
		return nil, nil, err
	}
	config := natswatermill.Config{Conn: nc, Group: group, InFlight: inFlight, CloseTimeout: -1}
	in, err := natswatermill.NewSubscriber(config)
	if err != nil {
		return nil, nil, err
	}
	out, err := natswatermill.NewPublisher(config)
	return in, out, err
}

func handMessage(round string, at int, data []byte) *message.Message {
	m := message.NewMessage(watermill.NewUUID(), data)
	m.Metadata.Set("saga", round)
	m.Metadata.Set("leg", strconv.Itoa(at))
	return m
}

func (h *handWritten) serviceHandler(m *message.Message) ([]*message.Message, error) {
	at, err := strconv.Atoi(m.Metadata.Get("leg"))
	if err != nil {
		return nil, err
	}
	return []*message.Message{handMessage(m.Metadata.Get("saga"), at, h.script.legs[at].answer)}, nil
}

// begin stores a new saga and sends its first command.
func (h *handWritten) begin(round string) error {
	return h.move(round, "", func(*handState) int { return 0 })
}

// answered handles the answer to a saga's command.
func (h *handWritten) answered(m *message.Message) error {
	return h.move(m.Metadata.Get("saga"), m.UUID, func(s *handState) int { return s.Next + 1 })
}

// move commits a saga's next leg with its outgoing messages, then sends them.
func (h *handWritten) move(round, seen string, next func(*handState) int) error {
	at, again := 0, false
	err := h.db.Update(func(tx *bolt.Tx) error {
		again = seen != "" && tx.Bucket(handSeen).Get([]byte(seen)) != nil
		if again {
			return nil
		}
		state := handState{Input: h.script.legs[0].command}
		if data := tx.Bucket(handStates).Get([]byte(round)); data != nil {
			if err := json.Unmarshal(data, &state); err != nil {
				return err
			}
		}
		at = next(&state)
		state.Next = at
		if err := tx.Bucket(handStates).Put([]byte(round), mustJSON(&state)); err != nil {
			return err
		}
		if at < len(h.script.legs) {
			if err := tx.Bucket(handPending).Put([]byte(round), h.script.legs[at].command); err != nil {
				return err
			}
		} else if err := tx.Bucket(handPending).Delete([]byte(round)); err != nil {
			return err
		}
		if seen == "" {
			return nil
		}
		return tx.Bucket(handSeen).Put([]byte(seen), nil)
	})
	switch {
	case err != nil || again:
		return err
	case at == len(h.script.legs):
		h.end(round)
		return h.out.Publish("hand.lifecycle", handMessage(round, at, nil))
	}
	if at == 0 {
		if err := h.out.Publish("hand.lifecycle", handMessage(round, at, nil)); err != nil {
			return err
		}
	}
	l := &h.script.legs[at]
	return h.out.Publish("hand.command.service-"+strconv.Itoa(l.service), handMessage(round, at, l.command))
}
