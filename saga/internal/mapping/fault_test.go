package mapping

import (
	"errors"
	"fmt"
	"testing"

	"github.com/amends-dev/amends/saga/internal/datatest"
)

// TestEachFault checks each kind of failure of a mapping, with data that CEL would quote.
func TestEachFault(t *testing.T) {
	var c datatest.Canaries
	word, number := c.Text(), c.Digits()
	input := fmt.Sprintf(`{"w":%q,"n":%s,"f":%s.5,"h":%s00000000000,"x":%se999,"l":[%q],"m":{%q:1},"r":"(%s","i":-9223372036854775808}`,
		word, number, number, number, number, word, word, word)
	met := map[fault]bool{}
	for with, want := range map[string]fault{
		`input.missing`:      faultKey,
		`input[input.w]`:     faultKey,
		`input.l[input.n]`:   faultKey,
		`input.m[input.r]`:   faultKey,
		`input.w + input.n`:  faultRange,
		`input.i - input.n`:  faultRange,
		`input.n / 0`:        faultRange,
		`int(input.w)`:       faultConversion,
		`uint(input.i)`:      faultConversion,
		`bool(input.w)`:      faultConversion,
		`timestamp(input.w)`: faultTime,
		`duration(input.w)`:  faultTime,
		`timestamp("2026-01-01T00:00:00Z").getHours(input.w)`:                  "",
		`input.w.matches(input.r)`:                                             faultRegex,
		`input.w.matches(input.n)`:                                             faultType,
		`optional.none().value()`:                                              faultNone,
		`input.?w.optMap(v, v).orValue("") == "" ? 1 : input.?missing.value()`: faultNone,
		`{?input.w: input.w}`:                                                  faultBuild,
		`[?input.w]`:                                                           faultBuild,
		`{1: input.w, "1": 2}`:                                                 faultMapKey,
		`{input.w: 1, input.l[0]: 2}`:                                          "",
		`input.f / 0.0`:                                                        faultForm,
		`type(input.w)`:                                                        faultForm,
		`input.w.all(v, v)`:                                                    faultType,
		`input.w < input.n`:                                                    faultType,
		`!input.w`:                                                             faultType,
		`input.n ? 1 : 2`:                                                      faultType,
		`result.step_one.a`:                                                    faultNoResult,
		`input.h + 1`:                                                          faultInteger,
		`input.x * 2.0`:                                                        faultNumber,
	} {
		mapped, err := second(nil, with)
		if err != nil {
			if want == "" {
				continue
			}
			t.Errorf("%s: %v", with, err)
			continue
		}
		_, err = mapped.Make([]byte(input), func(int) []byte { return nil })
		failed, ok := errors.AsType[*mappingError](err)
		if !ok {
			if want != "" {
				t.Errorf("%s: %v, want %q", with, err, want)
			}
			continue
		}
		data, _ := errors.AsType[*dataFault](failed.fault)
		if data == nil || want != "" && data.fault != want {
			t.Errorf("%s: %v, want %q; whole: %v", with, err, want, failed.whole())
			continue
		}
		met[data.fault] = true
		if found, is := c.In(err.Error()); is {
			t.Errorf("%s: %q is in: %v", with, found, err)
		}
	}
	for _, f := range []fault{faultKey, faultRange, faultConversion, faultTime, faultRegex, faultNone, faultBuild, faultMapKey, faultForm, faultType, faultNoResult, faultInteger, faultNumber} {
		if !met[f] {
			t.Errorf("%q was not met", f)
		}
	}
}

// TestSharedErrorsHaveNoPlace checks errors that CEL shares between all expressions. If the first
// failure wrote its position into them, all others would report it, and a decision would depend on
// previous ones (I6).
func TestSharedErrorsHaveNoPlace(t *testing.T) {
	for _, with := range []string{
		`dyn(1).orValue(true) ? 1 : 2`,
		`{"a": dyn(1).orValue({"b": 2}).b}`,
		`dyn(timestamp(dyn(input.n))) ? 1 : 2`,
		`{"a": dyn(timestamp(input.n)).b}`,
	} {
		mapped, err := second(nil, with)
		if err != nil {
			t.Fatal(err)
		}
		_, err = mapped.Make([]byte(`{"n":9223372036854775807}`), func(int) []byte { return nil })
		failed, ok := errors.AsType[*mappingError](err)
		if !ok || failed.line != 0 || failed.column != 0 {
			t.Errorf("%s: %v", with, err)
		}
	}
}
