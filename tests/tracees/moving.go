// SPDX-License-Identifier: MIT

// Goroutines that change threads and have their stacks moved in the middle of a call.
// usage: moving ROUNDS [MANY]; prints the calls of work() and the sum of their arguments
// MANY goroutines are in hold() at the same time before that.
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

//go:noinline
func hold(n int, gate chan bool) int {
	<-gate
	return n
}

// Leaves deeper frames by a panic, and comes back to the same depth.
//
//go:noinline
func fail(n int) int {
	if n%3 == 0 {
		panic(n)
	}
	return n
}

//go:noinline
func try(n int) (result int) {
	defer func() { recover() }()
	return fail(n)
}

type spot struct {
	near int8
	half float64
	far  int64
	name string
}

//go:noinline
func locate(n int) (spot, error) {
	return spot{int8(-n), float64(n) / 2, int64(n) << 40, "here"}, nil
}

//go:noinline
func four(n int) [4]int {
	return [4]int{n}
}

func many(count int) {
	var group sync.WaitGroup
	gate := make(chan bool)
	for i := 0; i < count; i++ {
		group.Add(1)
		go func(k int) {
			for j := 0; j < 3; j++ {
				try(k + j)
			}
			hold(k, gate)
			group.Done()
		}(i)
	}
	close(gate)
	group.Wait()
}

func main() {
	if len(os.Args) > 2 {
		count, _ := strconv.Atoi(os.Args[2])
		many(count)
	}
	if s, _ := locate(7); s.far == 0 || four(7)[0] == 0 {
		return
	}
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
