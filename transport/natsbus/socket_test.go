package natsbus_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// socket is a raw client that can send input that no library sends.
type socket struct {
	conn net.Conn
	out  strings.Builder
}

// usersFile returns a file that configures a coordinator and a participant with their permissions.
// Each password is the user's name.
func usersFile(t testing.TB) string {
	t.Helper()
	user := func(name string, role natsbus.Role) natsbus.User {
		return natsbus.User{Name: name, Role: role, Proof: []string{fmt.Sprintf("user: %q", name), fmt.Sprintf("password: %q", name)}}
	}
	file := filepath.Join(t.TempDir(), "users.conf")
	text, err := natsbus.Config{}.Accounts([]natsbus.User{user("amends", natsbus.RoleCoordinator), user("requests", natsbus.RoleResponder), user("inventory", natsbus.RoleParticipant)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// asOwner configures the user of the coordinator.
func asOwner(c *natsbus.Config) {
	c.User, c.Password, c.InboxPrefix = "amends", "amends", natsbus.InboxPrefix("amends")
	c.Responder = []nats.Option{nats.UserInfo("requests", "requests")}
}

// dial connects to a server. If the server does not listen, every write fails.
func dial(server *embedded.Server) *socket {
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.ClientURL(), "nats://"))
	if err != nil {
		conn, _ = net.Pipe() // every write fails
		_ = conn.Close()
	}
	s := &socket{conn: conn}
	s.out.WriteString("CONNECT {\"headers\":true,\"verbose\":false,\"protocol\":1}\r\n")
	return s
}

// connected dials the server and closes the connection at the end of the test.
func connected(t *testing.T, server *embedded.Server) *socket {
	t.Helper()
	s := dial(server)
	t.Cleanup(func() { _ = s.conn.Close() })
	return s
}

func (s *socket) pub(subject, reply, data string) {
	fmt.Fprintf(&s.out, "PUB %s %s %d\r\n%s\r\n", subject, reply, len(data), data)
}

func (s *socket) hpub(subject, reply, block, data string) {
	fmt.Fprintf(&s.out, "HPUB %s %s %d %d\r\n%s%s\r\n", subject, reply, len(block), len(block)+len(data), block, data)
}

// flush sends buffered bytes and waits until the server has read them. It returns the server's
// output.
func (s *socket) flush(t *testing.T) string {
	t.Helper()
	said, err := s.tryFlush()
	if err != nil {
		t.Fatalf("the server said %q, then %v", said, err)
	}
	return said
}

func (s *socket) tryFlush() (string, error) {
	s.out.WriteString("PING\r\n")
	_, err := io.WriteString(s.conn, s.out.String())
	s.out.Reset()
	if err != nil {
		return "", err
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(waitLimit))
	var said strings.Builder
	for buffer := make([]byte, 4096); !strings.Contains(said.String(), "PONG"); {
		n, err := s.conn.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			return said.String(), err
		}
	}
	return said.String(), nil
}
