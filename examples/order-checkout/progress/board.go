package progress

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
)

// openLines is the maximum number of open orders on a terminal.
const openLines = 6

// Board displays progress. Its methods are safe for concurrent use.
type Board struct {
	w       io.Writer
	width   func() int // width of the terminal in columns; 0 if there is no terminal
	color   bool
	started time.Time

	closed chan struct{}
	close  func()

	mu    sync.Mutex
	total int
	ended map[contract.Phase]int
	open  []*line
	last  time.Time // last redraw of the terminal
	drawn int       // number of lines of the live region
}

// line is an open order.
type line struct {
	order checkout.Order
	story string
}

// New returns a board for total orders that writes to w. On a terminal it has a live region, and
// colours unless NO_COLOR is set.
func New(w io.Writer, total int) *Board {
	b := &Board{w: w, total: total, started: time.Now(), ended: map[contract.Phase]int{}, width: func() int { return 0 }, closed: make(chan struct{})}
	b.close = sync.OnceFunc(func() { close(b.closed) })
	f, ok := w.(*os.File)
	if !ok {
		return b
	}
	if fd := int(f.Fd()); term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
		b.color = os.Getenv("NO_COLOR") == ""
		b.width = func() int {
			width, _, err := term.GetSize(fd)
			if err != nil || width < 40 {
				return 80
			}
			return width
		}
		go b.tick()
	}
	return b
}

// tick redraws the live region, so that its clock advances.
func (b *Board) tick() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.mu.Lock()
			if b.drawn > 0 {
				b.draw("", false)
			}
			b.mu.Unlock()
		case <-b.closed:
			return
		}
	}
}

// Placed shows that the coordinator has accepted an order.
func (b *Board) Placed(o checkout.Order) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = append(b.open, &line{order: o, story: "placed"})
	b.draw("", false)
}

// Moved shows the progress of an order.
func (b *Board) Moved(o checkout.Order, s *api.Saga) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.open {
		if l.order.OrderID == o.OrderID {
			l.story = Story(s)
		}
	}
	b.draw("", false)
}

// Ended shows how an order ended.
func (b *Board) Ended(o checkout.Order, s *api.Saga) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = slices.DeleteFunc(b.open, func(l *line) bool { return l.order.OrderID == o.OrderID })
	b.ended[s.Phase]++
	b.print(b.sign(s.Phase), o, Story(s))
}

// Say shows a message about a saga, or a general message if id is "".
func (b *Board) Say(id contract.SagaID, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.print(b.paint(magenta, "!"), checkout.Order{OrderID: string(id)}, b.paint(magenta, what))
}

// Close removes the live region from the terminal and stops its clock.
func (b *Board) Close() {
	b.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprint(b.w, b.erasure())
	b.drawn = 0
}

// print writes a permanent line.
func (b *Board) print(sign string, o checkout.Order, text string) {
	name := fmt.Sprintf("%-12s", o.OrderID)
	if o.Scenario != "" {
		name += fmt.Sprintf(" %-16s", o.Scenario)
	}
	b.draw(fmt.Sprintf("%5.1fs %s %s %s\n", time.Since(b.started).Seconds(), sign, b.paint(dim, name), text), true)
}

// erasure returns the control sequence that removes the live region.
func (b *Board) erasure() string {
	if b.drawn == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\x1b[J", b.drawn)
}

// draw writes permanent text. On a terminal, it redraws the live region below the text, at most
// about twenty times a second unless must is set.
func (b *Board) draw(text string, must bool) {
	width := b.width()
	if width == 0 {
		fmt.Fprint(b.w, text)
		return
	}
	if !must && time.Since(b.last) < 50*time.Millisecond {
		return
	}
	b.last = time.Now()
	var out strings.Builder
	out.WriteString(b.erasure() + text)
	b.drawn = 0
	add := func(text string) {
		out.WriteString(b.paint(dim, cut(text, width-1)) + "\n")
		b.drawn++
	}
	add("")
	for i, l := range b.open {
		if i == openLines {
			break
		}
		add(fmt.Sprintf("       … %-12s %-16s %s", l.order.OrderID, l.order.Scenario, l.story))
	}
	add(b.summary())
	fmt.Fprint(b.w, out.String())
}

// summary returns the counts in one line.
func (b *Board) summary() string {
	ended := 0
	for _, n := range b.ended {
		ended += n
	}
	const width = 20
	filled := 0
	if b.total > 0 {
		filled = min(width, width*ended/b.total)
	}
	text := fmt.Sprintf("%5.1fs  %s%s  %d of %d ended: %d completed, %d compensated, %d under way",
		time.Since(b.started).Seconds(), strings.Repeat("█", filled), strings.Repeat("░", width-filled),
		ended, b.total, b.ended[contract.PhaseCompleted], b.ended[contract.PhaseCompensated], len(b.open))
	if n := b.ended[contract.PhaseParked]; n > 0 {
		text += fmt.Sprintf(", %d parked", n)
	}
	return text
}

// sign returns a phase as a single character.
func (b *Board) sign(p contract.Phase) string {
	switch p {
	case contract.PhaseCompleted:
		return b.paint(green, "✓")
	case contract.PhaseCompensated:
		return b.paint(yellow, "⟲")
	default:
		return b.paint(red, "✗")
	}
}

// Mark colours a text as good or bad.
func (b *Board) Mark(text string, good bool) string {
	if good {
		return b.paint(green, text)
	}
	return b.paint(red, text)
}

// Terminal colours.
const (
	red     = "31"
	green   = "32"
	yellow  = "33"
	magenta = "35"
	dim     = "2"
)

func (b *Board) paint(color, text string) string {
	if !b.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// cut shortens a text to a number of characters.
func cut(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return text
}
