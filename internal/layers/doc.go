// Package layers holds no code, only tests of this repository's shape: which package may import which, what
// the shim's binary may link and how much of it, and the rules of style that a program can check. All limits
// and exceptions stand in table_test.go, with their reasons; a change of the shape is a change there.
package layers
