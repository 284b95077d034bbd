package bench

import (
	"context"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// strollAt is the rate at which sagas are started to compare latencies, as a fraction of the
// throughput.
const strollAt = 0.25

// expiryBegins limits the time until retention removes the first saga. Retention checks every ten
// seconds.
const expiryBegins = 30 * time.Second

// expiryRounds is the number of alternations between the two cases, so that other load on the
// machine affects both.
const expiryRounds = 3

// expire compares the latency of new sagas while retention removes old ones and while it does not.
// Each measurement starts a new coordinator, and the two cases alternate.
func (l *large) expire(ctx context.Context) (err error) {
	if l.Ended == 0 {
		return nil
	}
	f := &ExpiryFigures{Rate: strollAt * l.figures.SagasPerSecond}
	l.figures.Expiry = f
	quiet, busy := &recorder{}, &recorder{}
	forgotten, took := 0, time.Duration(0)
	for range expiryRounds {
		if err := l.restart(ctx, quietRetention); err != nil {
			return err
		}
		times, err := l.full.workload.constantRate(ctx, f.Rate, l.For)
		if err != nil {
			return err
		}
		quiet.times = append(quiet.times, times.times...)
		l.say("nothing expires: p50 %.1f ms, p99 %.1f ms", times.quantile(0.5), times.quantile(0.99))
		if err := l.restart(ctx, shortRetention); err != nil {
			return err
		}
		before, err := l.firstForgotten(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		if times, err = l.full.workload.constantRate(ctx, f.Rate, l.For); err != nil {
			return err
		}
		after, err := l.kept(ctx)
		if err != nil {
			return err
		}
		busy.times = append(busy.times, times.times...)
		forgotten, took = forgotten+before-after+len(times.times), took+time.Since(began)
		l.say("%.0f a second expire: p50 %.1f ms, p99 %.1f ms", float64(forgotten)/took.Seconds(), times.quantile(0.5), times.quantile(0.99))
	}
	f.QuietP50Ms, f.QuietP99Ms = quiet.quantile(0.5), quiet.quantile(0.99)
	f.P50Ms, f.P99Ms = busy.quantile(0.5), busy.quantile(0.99)
	f.ExpiredPerSecond = float64(forgotten) / took.Seconds()
	return nil
}

// restart restarts the coordinator on the full store and warms it up.
func (l *large) restart(ctx context.Context, retention time.Duration) (err error) {
	stopped := l.full
	l.full = nil
	if err := stopped.stop(); err != nil {
		return err
	}
	if l.full, err = l.serve(ctx, "full", retention); err != nil {
		return err
	}
	if err = l.crews(ctx); err == nil {
		_, err = l.full.workload.constantRate(ctx, l.figures.Expiry.Rate, l.For/5)
	}
	return err
}

// firstForgotten waits until retention has begun, and returns the number of ended sagas that are
// left.
func (l *large) firstForgotten(ctx context.Context) (kept int, err error) {
	first, err := l.kept(ctx)
	if err != nil {
		return 0, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	kept = first
	for began := time.Now(); kept == first && time.Since(began) < expiryBegins; <-tick.C {
		if kept, err = l.kept(ctx); err != nil {
			return 0, err
		}
	}
	return kept, nil
}

// kept returns the number of ended sagas in the full store.
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
