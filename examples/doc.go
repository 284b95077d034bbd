// Package examples holds programs that use only the public packages of Amends. A test copies each
// folder out of the repository and builds it as a separate module.
//
//	examples/tutorial        the code of docs/TUTORIAL.md
//	examples/order-checkout  the demo
//
// The package itself has no code.
package examples
