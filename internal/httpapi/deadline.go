package httpapi

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// sendLimit is how long a client may take to read an answer, or one message of a stream, before the
// connection is closed.
const sendLimit = time.Minute

// deadlines suspends the server's write timeout while a handler works. The timeout protects against
// slow readers, but would also end a Wait or a stream.
type deadlines struct{}

// WrapUnary implements connect.Interceptor.
func (deadlines) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		c := connectionOf(ctx)
		c.atWork()
		defer c.answers()
		return next(ctx, r)
	}
}

// WrapStreamingClient implements connect.Interceptor; a server does not use it.
func (deadlines) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (deadlines) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		c := connectionOf(ctx)
		defer c.answers() // the end of the stream is sent after this returns
		return next(ctx, deadlineConn{conn, c})
	}
}

// deadlineConn is a stream without a write timeout between two messages.
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

// connection controls the deadlines of a request's connection; the zero value does nothing.
type connection struct{ *http.ResponseController }

// connectionKey is the context key of a request's connection.
type connectionKey struct{}

func connectionOf(ctx context.Context) connection {
	c, _ := ctx.Value(connectionKey{}).(connection)
	return c
}

// withConnection puts the connection into the request's context for the interceptor.
func withConnection(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connectionKey{}, connection{http.NewResponseController(w)})))
	})
}

// atWork removes the write timeout: the request has been read, and handling it may take any time.
func (c connection) atWork() {
	if c.ResponseController != nil {
		_ = c.SetWriteDeadline(time.Time{}) // an error means that the connection does not support deadlines
	}
}

// answers gives the client sendLimit to read the next message.
func (c connection) answers() {
	if c.ResponseController != nil {
		_ = c.SetWriteDeadline(time.Now().Add(sendLimit))
	}
}
