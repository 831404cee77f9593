// SPDX-License-Identifier: MIT
// Variables of Go types, for the comparison with gdb.
package main

import "fmt"

type point struct {
	x int32
	y int64
	z float64
}

type node struct {
	value int
	name  string
	next  *node
}

//go:noinline
func add(a int, b uint8, c float64) int {
	sum := a + int(b)
	sum += int(c)
	return sum
}

//go:noinline
func move(p point, by int32) point {
	p.x += by
	p.y -= int64(by)
	return p
}

//go:noinline
func length(s string, list []int16) int {
	n := len(s)
	for _, v := range list {
		n += int(v)
	}
	return n
}

//go:noinline
func walk(n *node) int {
	sum := 0
	for n != nil {
		sum += n.value + len(n.name)
		n = n.next
	}
	return sum
}

func main() {
	list := &node{1, "one", &node{2, "two", nil}}
	p := move(point{1, 2, 2.5}, 7)
	fmt.Println(add(-3, 200, 1.5), p.x, p.y, length("text", []int16{1, -2, 300}), walk(list))
}
