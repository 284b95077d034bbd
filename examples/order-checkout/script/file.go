package script

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
)

// MaxLine is the maximum length of a line in an orders file, in bytes.
const MaxLine = 64 << 10

// LineError holds the errors of one line of an orders file.
type LineError struct {
	Name string // name of the file
	Line int    // counted from 1
	Err  error
}

// Error returns what is wrong with the line. Several errors are written one per line, indented.
func (e *LineError) Error() string {
	return fmt.Sprintf("%s, line %d: %s", e.Name, e.Line, strings.ReplaceAll(e.Err.Error(), "\n", "\n  "))
}

func (e *LineError) Unwrap() error { return e.Err }

// Read reads orders from a file with one JSON object per line. It ignores empty lines and lines
// that begin with #. Missing fields are filled in: order_id with the line number, total_cents with
// the sum of the order, and the other fields from an order of the scenario, if a scenario is given.
//
// The error joins one *LineError per invalid line.
func Read(name string, r io.Reader) (orders []checkout.Order, err error) {
	var wrong []error
	first := map[string]int{} // line number of each order id
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxLine)
	n := 0
	for lines.Scan() {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		o, err := parse(n, text)
		if before, taken := first[o.OrderID]; err == nil && taken {
			err = fmt.Errorf("order_id %s is already used in line %d", o.OrderID, before)
		}
		if err != nil {
			wrong = append(wrong, &LineError{name, n, err})
			continue
		}
		first[o.OrderID] = n
		orders = append(orders, o)
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("is longer than %d bytes", MaxLine)
		}
		wrong = append(wrong, &LineError{name, n + 1, err})
	}
	if len(wrong) == 0 && len(orders) == 0 {
		wrong = append(wrong, fmt.Errorf(`%s holds no order; write one JSON object per line, such as {"scenario": "card declined"}`, name))
	}
	return orders, errors.Join(wrong...)
}

// parse reads one line.
func parse(n int, text []byte) (checkout.Order, error) {
	given, err := decode(text, checkout.Order{})
	if err != nil {
		return given, err
	}
	if given.Scenario != "" {
		kind, known := KindOf(given.Scenario)
		if !known {
			return given, fmt.Errorf("scenario %q is unknown; use one of: %s", given.Scenario, scenarios())
		}
		filled := kind.order("", rand.New(rand.NewPCG(uint64(n), 0)))
		filled.TotalCents = 0
		if given, err = decode(text, filled); err != nil {
			return given, err
		}
	}
	if given.OrderID == "" {
		given.OrderID = fmt.Sprintf("order-line-%d", n)
	}
	if given.TotalCents == 0 {
		given.TotalCents = given.Sum()
	}
	return given, given.Check()
}

// decode reads one JSON object into a copy of o.
func decode(text []byte, o checkout.Order) (checkout.Order, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	filled := o.Lines
	o.Lines = nil // decoding into existing elements would mix the two orders
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf("is not an order in JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("has something after the JSON object; write one object per line")
	}
	if o.Lines == nil {
		o.Lines = filled
	}
	return o, nil
}

func scenarios() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = k.Scenario
	}
	return strings.Join(names, ", ")
}
