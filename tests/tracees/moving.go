// SPDX-License-Identifier: MIT

// Goroutines that change threads and have their stacks moved in the middle of a call.
// usage: moving ROUNDS; prints the calls of work() and the sum of their arguments
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
)

//go:noinline
func grow(n int) int {
	var pad [256]byte
	pad[n%256] = byte(n)
	if n == 0 {
		return int(pad[0])
	}
	return grow(n-1) + int(pad[n%256])
}

//go:noinline
func work(n int, meet chan int) int {
	runtime.Gosched()
	if n%7 == 0 {
		grow(40 + n%50) // moves the stack the first time
	}
	if meet != nil {
		// wakes another goroutine, perhaps on another thread
		if n%2 == 0 {
			meet <- n
			<-meet
		} else {
			<-meet
			meet <- n
		}
	}
	return n * 2
}

func main() {
	rounds, _ := strconv.Atoi(os.Args[1])
	runtime.GOMAXPROCS(4)
	var group sync.WaitGroup
	sums := make([]int, 64)
	for i := 0; i < rounds; i++ {
		for g := 0; g < 64; g += 2 {
			meet := make(chan int)
			for k := g; k < g+2; k++ {
				group.Add(1)
				go func(k int) { sums[k] += work(i*64+k, meet); group.Done() }(k)
			}
		}
		group.Wait()
	}
	total := 0
	for _, s := range sums {
		total += s
	}
	fmt.Printf("calls=%d sum=%d\n", rounds*64, total/2)
}
