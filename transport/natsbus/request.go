package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// Headers of an error reply that the NATS command line and clients of NATS micro services
// understand.
const (
	headerErrorCode = "Nats-Service-Error-Code"
	headerError     = "Nats-Service-Error"
)

// Request implements transport.Requester. It waits for the reply until ctx ends.
func (b *Bus) Request(ctx context.Context, request *transport.Envelope) (*transport.Envelope, error) {
	if b.isClosed() {
		return nil, transport.ErrClosed
	}
	if err := transport.CheckSubject(request.Subject); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	f := wire.Borrow(request)
	m, err := b.nc.RequestMsgWithContext(ctx, &f.Msg) // the client copies the message
	f.Release()
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("request %s: %w", request.Subject, transport.ErrNoResponders)
	case err != nil:
		return nil, fmt.Errorf("request %s: %w", request.Subject, b.translate(err))
	}
	return answered(request, m)
}

// answered decodes a reply.
func answered(request *transport.Envelope, m *nats.Msg) (*transport.Envelope, error) {
	reply, err := wire.Decode(m)
	if err != nil {
		return nil, fmt.Errorf("read the reply to %s: %w", request.Subject, err)
	}
	if reply.Code == "" && m.Header.Get(headerErrorCode) != "" { // the reply of a plain NATS micro service
		reply.Code, reply.Reason = m.Header.Get(headerErrorCode), m.Header.Get(headerError)
	}
	return &reply, nil
}

// Respond implements transport.Responder with a queue subscription. It answers a request that
// cannot be decoded with the code invalid_argument. It does not use the micro framework of nats.go,
// which cannot stop a single endpoint, but it sends the framework's error headers for clients of
// the framework.
func (b *Bus) Respond(subject, queue string, handle func(*transport.Envelope, func(*transport.Envelope))) (func(), error) {
	if b.isClosed() {
		return nil, transport.ErrClosed
	}
	sub, err := b.answers.QueueSubscribe(subject, queue, func(m *nats.Msg) {
		if m.Reply == "" {
			return // the sender wants no reply
		}
		if !b.inbox(m.Reply) {
			b.stats.repliesRefused.Add(1)
			b.config.Logger.Warn("a request was refused: its reply subject is not an inbox, and the reply could pass for the coordinator's own message; "+
				"the client must connect with an inbox prefix such as _INBOX_shop", "subject", m.Subject, "reply", contract.Cut(m.Reply, maxQuoted))
			return
		}
		b.noteAccount(m)
		to, replied := m.Reply, new(atomic.Bool)
		reply := func(e *transport.Envelope) { // must not reference the request, since handle may keep reply for long
			if !replied.Swap(true) {
				b.reply(to, e)
			}
		}
		request, err := wire.Decode(m)
		if err == nil && request.Type != "" && request.Type != transport.TypeRequest {
			err = &transport.AttributeError{Name: transport.AttrType, Value: contract.Cut(request.Type, maxQuoted), Why: "a request has the type " + transport.TypeRequest + ", or none"}
		}
		if err != nil {
			reply(&transport.Envelope{Code: string(api.CodeInvalidArgument), Reason: err.Error(), TraceParent: request.TraceParent})
			return
		}
		request.Type, request.Caller = transport.TypeRequest, callerOf(m)
		handle(&request, reply)
	})
	if err != nil {
		return nil, fmt.Errorf("respond on %s: %w", subject, err)
	}
	// Flush, so that requests from now on arrive if the server is reachable.
	if flushed := b.answers.FlushTimeout(apiTimeout); flushed == nil && forbids(b.answers.LastError(), subject) {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("respond on %s: %w; give the coordinator a user with the role %s (see: coordinator nats-permissions)", subject, b.answers.LastError(), RoleResponder)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = sub.Unsubscribe()
		return nil, transport.ErrClosed
	}
	b.serving[sub] = struct{}{}
	return func() {
		b.mu.Lock()
		delete(b.serving, sub)
		b.mu.Unlock()
		_ = sub.Drain() // requests that have arrived are still handled
	}, nil
}

// forbids reports whether an error denies the permission to subscribe to a subject.
func forbids(err error, subject string) bool {
	return err != nil && errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), "Subscription to \""+subject+"\"")
}

// inbox reports whether a reply may be sent to a subject. The server delivers a published message
// to all subscribers, including internal ones of the server, and checks only the publisher's
// permissions. If a request's reply subject were a subject of the server, the server would execute
// the reply with the coordinator's permissions.
func (b *Bus) inbox(subject string) bool {
	first, rest, _ := strings.Cut(subject, ".")
	if rest == "" || transport.CheckSubject(subject) != nil {
		return false
	}
	return first == "_INBOX" || first == "_R_" || strings.HasPrefix(first, "_INBOX_") ||
		slices.ContainsFunc(b.config.ReplyPrefixes, func(prefix string) bool { return strings.HasPrefix(subject, prefix+".") })
}

// reply sends a reply. A reply that is too large is replaced by an error.
func (b *Bus) reply(to string, e *transport.Envelope) {
	full := *e
	full.Subject = to
	if full.Type == "" {
		full.Type = transport.TypeReply
	}
	if full.Source == "" {
		full.Source = transport.CoordinatorSource
	}
	if full.Time.IsZero() {
		full.Time = time.Now()
	}
	f := wire.Borrow(&full)
	defer f.Release() // PublishMsg copies the message
	m := &f.Msg
	if full.Code != "" {
		m.Header.Set(headerErrorCode, full.Code)
		m.Header.Set(headerError, percent.Encode(full.Reason))
	}
	if limit := b.nc.MaxPayload(); limit > 0 && int64(m.Size()) > limit {
		if full.Code == string(api.CodeResourceExhausted) {
			b.stats.repliesLost.Add(1)
			return
		}
		b.reply(to, &transport.Envelope{
			Code:   string(api.CodeResourceExhausted),
			Reason: fmt.Sprintf("the reply has %d bytes, but the bus allows %d; request less", m.Size(), limit),
		})
		return
	}
	if err := b.answers.PublishMsg(m); err != nil {
		b.stats.repliesLost.Add(1)
		b.config.Logger.Warn("a reply could not be sent", "error", err)
	}
}

// imported is the prefix of the reply subjects of requests from another account. Clients cannot set
// a reply subject with this prefix.
const imported = "_R_."

// headerRequestInfo is the header that contains the sender's account in a request from another
// account.
const headerRequestInfo = "Nats-Request-Info"

// callerOf returns the sender of a request, as far as known. The sender is the account from which
// the request was imported, else the user that the inbox names (InboxPrefix), else the connection.
// A client that may use any reply subject can pretend to be any number of callers.
func callerOf(m *nats.Msg) string {
	if strings.HasPrefix(m.Reply, imported) { // the server sets this prefix and the header
		var info struct {
			Account string `json:"acc"`
		}
		// The server replaces an existing header of this name and adds its own at the end. It does
		// not detect a header after a bare line feed, but the client library does. Therefore only
		// the last value is the server's.
		if values := m.Header[headerRequestInfo]; len(values) > 0 {
			_ = json.Unmarshal([]byte(values[len(values)-1]), &info) // callers without an account count as one caller
		}
		return "account/" + info.Account
	}
	first, rest, _ := strings.Cut(m.Reply, ".")
	if first == "_INBOX" { // the client library's default prefix; the next token names the connection
		connection, _, _ := strings.Cut(rest, ".")
		return m.Reply[:len(first)+1+len(connection)]
	}
	return first
}
