// SPDX-License-Identifier: MIT

// Goroutines that grow their stacks: a function's entry runs again each time.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

type thing struct{ n int }

//go:noinline
func (t *thing) add(k int) int { t.n += k; return t.n }

//go:noinline
func deep(n int) int {
	var pad [64]int
	pad[n%64] = n
	if n == 0 {
		return 0
	}
	return deep(n-1) + pad[n%64] - n + 1
}

func main() {
	depth, _ := strconv.Atoi(os.Args[1])
	var group sync.WaitGroup
	total := make([]int, 8)
	for g := range total {
		group.Add(1)
		go func(g int) { total[g] = deep(depth); group.Done() }(g)
	}
	group.Wait()
	t := &thing{}
	for i := 0; i < 10; i++ {
		t.add(i)
	}
	fmt.Println(total, t.n)
}
