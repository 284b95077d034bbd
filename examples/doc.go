// Package examples has what is built with Amends and nothing else: each folder uses the
// packages that strangers can use. A test copies each out and builds it under another name.
//
//	examples/tutorial        the code of docs/TUTORIAL.md
//	examples/order-checkout  the demo
//
// It does nothing itself. Failure looks like a folder that cannot be built outside.
package examples
