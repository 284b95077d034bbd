package mapping

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"

	"github.com/amends-dev/amends/saga/internal/schema"
)

// Limits of one CEL expression, beside MaxExpression (I10). An expression whose
// text is beyond them is refused. What an evaluation may cost is said in
// cost.go.
const (
	// maxExpressionDepth bounds how deep an expression is nested.
	maxExpressionDepth = 100
	// maxExpressionErrors bounds the problems that are reported for one expression.
	maxExpressionErrors = 5
)

// baseEnv is CEL's standard library with optional values and nothing else: no
// clock, no randomness and, against CEL's habit, no time zones by name, because
// they are read from the machine. Its parts are pinned, so that a definition
// means the same for as long as it is stored.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	setUpErrors()
	return cel.NewCustomEnv(
		cel.EagerlyValidateDeclarations(true),
		cel.StdLib(cel.StdLibSubset(env.NewLibrarySubset().AddExcludedFunctions(
			withoutZone(overloads.TimeGetFullYear, overloads.TimestampToYearWithTz),
			withoutZone(overloads.TimeGetMonth, overloads.TimestampToMonthWithTz),
			withoutZone(overloads.TimeGetDayOfYear, overloads.TimestampToDayOfYearWithTz),
			withoutZone(overloads.TimeGetDayOfMonth, overloads.TimestampToDayOfMonthZeroBasedWithTz),
			withoutZone(overloads.TimeGetDate, overloads.TimestampToDayOfMonthOneBasedWithTz),
			withoutZone(overloads.TimeGetDayOfWeek, overloads.TimestampToDayOfWeekWithTz),
			withoutZone(overloads.TimeGetHours, overloads.TimestampToHoursWithTz),
			withoutZone(overloads.TimeGetMinutes, overloads.TimestampToMinutesWithTz),
			withoutZone(overloads.TimeGetSeconds, overloads.TimestampToSecondsWithTz),
			withoutZone(overloads.TimeGetMilliseconds, overloads.TimestampToMillisecondsWithTz),
		))),
		cel.OptionalTypes(cel.OptionalTypesVersion(2)),
		cel.EnableIdentifierEscapeSyntax(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.CostModelVersion(1),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ParserErrorRecoveryLimit(maxExpressionErrors),
		cel.ParserExpressionSizeLimit(MaxExpression),
		cel.ASTValidators(patterns{}, cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals()),
	)
})

func withoutZone(function, overload string) *env.Function {
	return env.NewFunction(function, env.NewOverload(overload, nil, nil))
}

// mappingEnv is the environment of a definition's mappings.
func mappingEnv(t *objectTypes, input *schema.Schema) (*cel.Env, error) {
	base, err := baseEnv()
	if err != nil {
		return nil, err
	}
	t.Provider = base.CELTypeProvider()
	return base.Extend(
		cel.CustomTypeProvider(t),
		cel.Variable("input", t.typeOf(input, "input")),
		cel.Variable("result", resultsType),
	)
}

// programOptions are the same for every mapping, but for how its nodes are read and what it
// may cost.
func programOptions(read *reading, most uint64) []cel.ProgramOption {
	return []cel.ProgramOption{cel.CostTracking(pricing{}), cel.CostLimit(most), cel.CustomDecoratorV2(read.decorate)}
}
