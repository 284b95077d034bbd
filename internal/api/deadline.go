package api

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// sendLimit is how long a reader may take for an answer, or for one message of a stream:
// one that takes nothing for so long is given up.
const sendLimit = time.Minute

// deadlines holds off the server's limit on writing, which is against slow readers, while a
// handler is at work: it would also end a Wait or a stream.
type deadlines struct{}

// WrapUnary is part of connect.Interceptor.
func (deadlines) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		c := connectionOf(ctx)
		c.atWork()
		defer c.answers()
		return next(ctx, r)
	}
}

// WrapStreamingClient is part of connect.Interceptor; a server needs none.
func (deadlines) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is part of connect.Interceptor.
func (deadlines) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		c := connectionOf(ctx)
		defer c.answers() // its end is sent when this has returned
		return next(ctx, deadlineConn{conn, c})
	}
}

// deadlineConn is a stream that may take its time between two messages.
type deadlineConn struct {
	connect.StreamingHandlerConn

	connection connection
}

// Receive reads the next message.
func (c deadlineConn) Receive(message any) error {
	if err := c.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	c.connection.atWork()
	return nil
}

// Send sends a message.
func (c deadlineConn) Send(message any) error {
	c.connection.answers()
	defer c.connection.atWork()
	return c.StreamingHandlerConn.Send(message)
}

// connection is what a request came on; the zero value is one without deadlines.
type connection struct{ *http.ResponseController }

// connectionKey is the key of a request's connection.
type connectionKey struct{}

func connectionOf(ctx context.Context) connection {
	c, _ := ctx.Value(connectionKey{}).(connection)
	return c
}

// withConnection lets the interceptor reach the connection.
func withConnection(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connectionKey{}, connection{http.NewResponseController(w)})))
	})
}

// atWork says that a request has been read, and that its answer takes as long as it takes.
func (c connection) atWork() {
	if c.ResponseController != nil {
		_ = c.SetWriteDeadline(time.Time{}) // a connection without deadlines needs none taken off
	}
}

// answers gives the reader time for the next message, and not for ever.
func (c connection) answers() {
	if c.ResponseController != nil {
		_ = c.SetWriteDeadline(time.Now().Add(sendLimit))
	}
}
