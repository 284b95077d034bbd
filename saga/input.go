package saga

import "fmt"

// checkInput reports what in a saga's input does not fit the definition's
// schema: better the caller hears of it than a mapping, in the middle of the
// saga. A definition without mappings passes its input on as it is, so it is not
// read.
func (d *Definition) checkInput(input []byte) error {
	if !d.checksInput() {
		return nil
	}
	if err := d.spec.Input.Accepts(input); err != nil {
		return fmt.Errorf("%w: the definition says otherwise: %w", ErrInput, err)
	}
	return nil
}

// checksInput reports whether checkInput reads the input.
func (d *Definition) checksInput() bool { return !d.spec.Input.isAny() && d.maps() }

// maps reports whether any step has a mapping.
func (d *Definition) maps() bool {
	for i := range d.steps {
		if d.steps[i].request != nil {
			return true
		}
	}
	return false
}
