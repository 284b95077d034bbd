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
	// LoginBurst is how many logins in a row may fail from one address, an IPv6
	// network of 64 bits counting as one. Then one every LoginPause is let through.
	LoginBurst = 10
	// LoginPause is the time between two failing logins once LoginBurst is used up.
	LoginPause = 6 * time.Second

	maxAddresses = 10_000 // remembered; the ones unseen longest are forgotten (I10)
)

// limits slows down whoever tries keys at the login page.
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

// allows reports whether an address may try.
func (l *limits) allows(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.seen.Get(network(remote))
	return !ok || one.TokensAt(l.clock()) >= 1
}

// failed counts a failure.
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

// network is who is counted together.
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
