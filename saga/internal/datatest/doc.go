// Package datatest makes data and expressions for the tests of packages that evaluate mappings.
//
// Failure looks like t.Fatal of the test that uses it.
package datatest
