// SPDX-License-Identifier: MIT

// usage: work ROUNDS: a bit of everything, the same output each time
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"sort"
	"strconv"
	"sync"
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func deep(n int) int {
	var pad [100]int
	if n == 0 {
		return pad[n]
	}
	return deep(n-1) + 1
}

func panics(n int) (ret string) {
	defer func() { ret = fmt.Sprint(recover()) }()
	var p *int
	if n%2 == 0 {
		return fmt.Sprint(*p)
	}
	panic(n)
}

func work(seed int) string {
	x := seed
	a := make([]int, 20000)
	for i := range a {
		x = (x*1103515245 + 12345) % 2147483648
		a[i] = x
	}
	sort.Ints(a)
	text, _ := json.Marshal(a)
	var back []int
	json.Unmarshal(text, &back)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(text)
	z.Close()
	r, _ := gzip.NewReader(&b)
	all, _ := io.ReadAll(r)
	m := map[int]int{}
	for _, v := range a {
		m[v%997]++
	}
	sum := 0
	for k, v := range m {
		sum += k * v
	}
	for i := 0; i < 200; i++ {
		panics(i)
	}
	return fmt.Sprint(sha256.Sum256(text), len(all), sum, len(back), fib(20), deep(3000), panics(seed),
		len(regexp.MustCompile(`1\d*2`).FindAll(text, -1)))
}

func main() {
	rounds, _ := strconv.Atoi(os.Args[1])
	out := make([]string, 16)
	var group sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	for i := range out {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for k := 0; k < rounds; k++ {
				out[i] = work(i)
			}
			for k := 0; k < 50; k++ {
				r, err := http.Get(fmt.Sprint(server.URL, "/", i, "/", k))
				if err != nil {
					out[i] += err.Error()
					continue
				}
				body, _ := io.ReadAll(r.Body)
				r.Body.Close()
				out[i] += string(body)
			}
		}(i)
	}
	group.Wait()
	for _, s := range out {
		fmt.Println(s)
	}
	os.Exit(7)
}
