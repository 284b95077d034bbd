// Package datatest draws data and expressions for the tests of packages that evaluate mappings.
//
// A failure calls Fatal of the test that uses it.
package datatest
