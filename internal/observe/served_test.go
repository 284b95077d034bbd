package observe_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

var (
	// sample matches one line of a scrape.
	sample  = regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? [0-9eE.+-]+(?:[0-9]|Inf|NaN)*$`)
	labelOf = regexp.MustCompile(`([a-z_]+)="`)
)

// served returns the metrics and labels that a coordinator exposes over HTTP after it has run a
// saga. It scrapes only once.
func served(t *testing.T) map[string][]string {
	t.Helper()
	text, err := scraped()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]string{"up": nil} // Prometheus adds it
	for _, line := range sample.FindAllStringSubmatch(text, -1) {
		names[line[1]] = nil
		for _, l := range labelOf.FindAllStringSubmatch(line[2], -1) {
			names[line[1]] = append(names[line[1]], l[1])
		}
	}
	return names
}

var scraped = sync.OnceValues(func() (text string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reserve := contract.NewCommand[int, int]("stock", "reserve")
	def := saga.MustDefine[int]("checkout", saga.Pivot("reserve", saga.Do(reserve)))
	wait := contract.NewCommand[int, int]("nobody", "wait")
	open := saga.MustDefine[int]("open", saga.Pivot("wait", saga.Do(wait)))
	dir, err := os.MkdirTemp("", "observe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	s, err := server.Start(ctx, server.Config{
		DataDir: dir, HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Definitions: []*saga.Definition{def, open},
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Stop(context.Background())) }()
	a := s.Addresses()
	bus, err := s.Connect(ctx, "stock")
	if err != nil {
		return "", err
	}
	defer bus.Close() // no request is in flight
	p := participant.New("stock", &participant.MemoryInbox{})
	participant.Handle(p, reserve, func(_ context.Context, _ *participant.MemoryTx, n int) (int, error) { return n, nil })
	running, stop := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() { _ = p.Run(running, bus) })
	defer func() { stop(); serving.Wait() }()
	c := client.New(bus)
	if _, err := c.Start(ctx, def, 1, client.ID("order-1")); err != nil {
		return "", err
	}
	if _, err := c.Start(ctx, open, 1, client.ID("order-2")); err != nil { // no service answers, so the saga stays open
		return "", err
	}
	if _, err := c.Wait(ctx, "order-1"); err != nil {
		return "", err
	}
	for { // a caller may be told of the end before it is counted
		if text, err = scrape(ctx, a.HTTP+"/metrics"); err != nil || strings.Contains(text, "amends_saga_duration_seconds_bucket") {
			return text, err
		}
	}
})

func scrape(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() // the response was only read
	var b strings.Builder
	_, err = io.Copy(&b, response.Body)
	return b.String(), err
}
