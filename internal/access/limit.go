package access

import (
	"net"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

const (
	// LoginBurst is how many logins may fail in a row from one network: an IPv4 address or an IPv6
	// /64 network. After that, one login is allowed every LoginPause.
	LoginBurst = 10
	// LoginPause is the minimum time between two failed logins once LoginBurst is used up.
	LoginPause = 6 * time.Second

	maxAddresses = 10_000 // the least recently used are evicted (I10)
)

// limits rate-limits failed logins.
type limits struct {
	clock func() time.Time
	mu    sync.Mutex
	seen  *lru.Cache[string, *rate.Limiter]
}

func newLimits(clock func() time.Time) *limits {
	seen, err := lru.New[string, *rate.Limiter](maxAddresses)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &limits{clock: clock, seen: seen}
}

// allows reports whether an address may try to log in.
func (l *limits) allows(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.seen.Get(network(remote))
	return !ok || one.TokensAt(l.clock()) >= 1
}

// failed counts a failed login.
func (l *limits) failed(remote string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := network(remote)
	one, ok := l.seen.Get(key)
	if !ok {
		one = rate.NewLimiter(rate.Every(LoginPause), LoginBurst)
		l.seen.Add(key, one)
	}
	one.AllowN(l.clock(), 1)
}

// network returns the network of an address for limits: an IPv4 address or an IPv6 /64 network.
func network(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}
