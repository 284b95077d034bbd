package mapping

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"

	"github.com/amends-dev/amends/saga/internal/schema"
)

// Limits of one CEL expression, in addition to MaxExpression (I10). cost.go bounds the cost of an
// evaluation.
const (
	// maxExpressionDepth bounds the nesting of an expression. A deeper expression is refused.
	maxExpressionDepth = 100
	// maxExpressionErrors bounds the reported problems of one expression.
	maxExpressionErrors = 5
)

// baseEnv is CEL's standard library with optional values and nothing else: no clock and no
// randomness. Unlike CEL's default it has no time zones by name, because these are read from the
// machine. Its parts are pinned, so that the meaning of a stored definition never changes.
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

// mappingEnv returns the environment of a definition's mappings.
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

// programOptions returns the options of a mapping's program. They are the same for every mapping
// except for read and the maximum cost.
func programOptions(read *reading, most uint64) []cel.ProgramOption {
	return []cel.ProgramOption{cel.CostTracking(pricing{}), cel.CostLimit(most), cel.CustomDecoratorV2(read.decorate)}
}
