package bench

import (
	"context"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// strollAt is the part of the throughput at which sagas are started when
// latencies are compared.
const strollAt = 0.25

// expiryBegins is how long a coordinator may take until it forgets the first saga:
// it looks every ten seconds.
const expiryBegins = 30 * time.Second

// expire compares the latency of new sagas while nothing is forgotten with that
// while what has ended long ago is.
func (l *large) expire(ctx context.Context) (err error) {
	if l.Ended == 0 {
		return nil
	}
	f := &ExpiryFigures{Rate: strollAt * l.figures.SagasPerSecond}
	l.figures.Expiry = f
	quiet, err := l.full.crew.stroll(ctx, f.Rate, l.For)
	if err != nil {
		return err
	}
	f.QuietP50Ms, f.QuietP99Ms = quiet.quantile(0.5), quiet.quantile(0.99)
	l.say("nothing expires: p50 %.1f ms, p99 %.1f ms", f.QuietP50Ms, f.QuietP99Ms)

	stopped := l.full
	l.full = nil
	if err := stopped.stop(); err != nil {
		return err
	}
	if l.full, err = l.serve(ctx, "full", shortRetention); err != nil {
		return err
	}
	if err := l.crews(ctx); err != nil {
		return err
	}
	before, err := l.kept(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began, first := time.Now(), before; before == first && time.Since(began) < expiryBegins; <-tick.C {
		if before, err = l.kept(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	busy, err := l.full.crew.stroll(ctx, f.Rate, l.For)
	if err != nil {
		return err
	}
	after, err := l.kept(ctx)
	if err != nil {
		return err
	}
	f.P50Ms, f.P99Ms = busy.quantile(0.5), busy.quantile(0.99)
	f.ExpiredPerSecond = float64(before-after+len(busy.times)) / time.Since(began).Seconds()
	l.say("%.0f a second expire: p50 %.1f ms, p99 %.1f ms", f.ExpiredPerSecond, f.P50Ms, f.P99Ms)
	return nil
}

// kept is how many sagas the full store holds that have ended.
func (l *large) kept(ctx context.Context) (int, error) {
	reply, err := l.full.api.Count(ctx, connect.NewRequest(&apiv1.CountRequest{}))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range reply.Msg.GetCounts() {
		n += int(c.GetEnded())
	}
	return n, nil
}
